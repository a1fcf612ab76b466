"""Who may do what."""

from sqlalchemy import Integer, LargeBinary, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY

from config.tables import MOMENT, index, key, metadata, optional, required

_ROLE = "role IN ('operator', 'admin', 'reader')"
_OF_WHICH = "ids of those it is of; null: every one, as an operator's"

tokens = Table(
    "tokens",
    metadata,
    key("token", Integer, "in the order in which they were made", numbered=True),
    required("name", Text, "what the audit log calls it"),
    required("hash", LargeBinary, "SHA-256 of the token, which is kept nowhere"),
    required("role", Text, "what it is trusted with", check=_ROLE),
    optional("organisations", ARRAY(Text), _OF_WHICH),
    required("made_by", Text, "who made it, as in the audit log"),
    required("made_at", MOMENT, default="now()"),
    optional("expires_at", MOMENT, "null: never"),
    optional("used_at", MOMENT, "to the minute; null: never used"),
    optional("revoked_at", MOMENT, "null: it is valid"),
    optional("revoked_by", Text, "who revoked it; null: nobody"),
    UniqueConstraint("hash"),
    index("tokens_name", "name", unique=True, where="revoked_at IS NULL"),
    comment="what programs show to be let in",
)
