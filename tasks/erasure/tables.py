"""Learners who are erased, until nothing names them any more."""

from sqlalchemy import BigInteger, Integer, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

from config.tables import MOMENT, key, metadata, optional, required

#: The SQL functions of this capability, and what each is for.
FUNCTIONS = {
    "digest_of": "what is kept of a name or address, to find it by and not to read it",
    "keep_former_address": "trigger of learners: keeps in former_addresses that there was another",
}

erasures = Table(
    "erasures",
    metadata,
    key("organisation", Integer),
    key("erasure", BigInteger, numbered=True),
    optional("learner", Integer, "null: not known by number"),
    required("id", Text, "the platform's id of the learner"),
    required("until", MOMENT, "when the deletion happened: what is dated later is about somebody new"),
    required("at", MOMENT, default="now()"),
    required("digests", ARRAY(LargeBinary), "of their addresses and usernames, by digest_of()"),
    required("names", ARRAY(LargeBinary), "of first and last name, by digest_of()"),
    optional("looked_at", MOMENT, "when every place was looked at the first time; null: not yet"),
    comment="learners who are erased, until every place was looked at twice for what names them",
)

former_addresses = Table(
    "former_addresses",
    metadata,
    key("organisation", Integer),
    key("learner", Integer),
    key("digest", LargeBinary, "of the address, by digest_of()"),
    comment="to find what is kept under an earlier address when a learner is erased (S15)",
)
