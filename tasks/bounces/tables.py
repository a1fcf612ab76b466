"""What mail servers and mailboxes reported after they had accepted a mail."""

from sqlalchemy import BigInteger, Enum, Integer, LargeBinary, Table, Text

from config.tables import MOMENT, index, key, metadata, optional, required

BOUNCE_KIND = Enum("blocked", "soft", "hard", "complaint", name="bounce_kind", metadata=metadata)

bounces = Table(
    "bounces",
    metadata,
    key("organisation", Integer),
    key("mailing", BigInteger),
    key("recipient", Integer),
    required("kind", BOUNCE_KIND, "the weakest first: of one delivery the strongest holds"),
    required("at", MOMENT, default="now()"),
    optional("status", Text, "RFC 3463, as reported"),
    optional("diagnostic", Text, "the server's text, as reported"),
    required("fingerprint", LargeBinary, "tells which address it went to: a learner's may have changed since"),
    index("bounces_of_recipient", "organisation", "recipient"),
    comment="what came back for a delivery, once, however often it was reported (R32)",
)
