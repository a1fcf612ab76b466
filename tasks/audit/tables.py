"""The audit log."""

from sqlalchemy import BigInteger, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from config.tables import MOMENT, index, key, metadata, optional, required

FUNCTIONS = {
    "forget_audit": "drop the oldest entries of the first partition that are older than is kept; how many",
    "refuse_audit_change": "trigger: what was written stays as it is, until `forget_audit` drops it",
}

audit = Table(
    "audit",
    metadata,
    key("organisation", Integer, "0: the installation, and no organisation"),
    key("at", MOMENT, "by the database's clock", default="clock_timestamp()"),
    key("id", BigInteger, numbered=True),
    required("who", Text, "an account's address, a token's name, or a user of the server"),
    required(
        "door",
        Text,
        "the way in: a command, the API, the console or SCIM",
        check="door IN ('command', 'api', 'console', 'scim')",
    ),
    optional("address", Text, "the network address they came from; null: this machine"),
    required("act", Text, "its name in the table of permissions"),
    optional("subject", Text, "the id of what it was done to; null: the organisation, or many"),
    optional("before", JSONB, "what changed, as it was; never a secret, never a body"),
    optional("after", JSONB, "what changed, as it is now"),
    required("outcome", Text, "done, begun, or refused: and why"),
    index("audit_at", "at", "id"),
    postgresql_partition_by="RANGE (at)",
    comment="who did what, append-only. A partition for each month",
)

audit_refusals = Table(
    "audit_refusals",
    metadata,
    key("organisation", Integer, "0: the installation, and no organisation"),
    key("who", Text, "who was refused, as in the audit log"),
    key("door", Text, "the way in"),
    key("address", Text, "where they came from, of IPv6 the network; empty: this machine"),
    required("since", MOMENT, default="now()"),
    required("refused", Integer, "how many attempts since then", default="1"),
    index("audit_refusals_since", "since"),
    comment="who was refused how often lately, so that nobody fills the audit log",
)
