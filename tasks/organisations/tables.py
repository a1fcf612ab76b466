"""The customers of the platform."""

from sqlalchemy import BigInteger, Boolean, Integer, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY

from config.tables import MOMENT, key, metadata, optional, required

organisations = Table(
    "organisations",
    metadata,
    key("organisation", Integer, numbered=True),
    required("id", Text, "the platform's id"),
    required("name", Text),
    required(
        "licence",
        Text,
        "what a start consumes: a seat, or credits at the cost of the course",
        check="licence IN ('seats', 'credits')",
    ),
    optional("pool", BigInteger, "seats or credits of a period; null: no limit", check="pool >= 0"),
    optional("licence_starts", MOMENT, "periods begin here and a year apart; null: one period without a beginning"),
    optional("licence_ends", MOMENT, "null: open"),
    required("admin_emails", ARRAY(Text), "who gets digests, warnings and lists of passwords"),
    required(
        "reactivation_digest",
        Boolean,
        "whether a learner who is active again gets a digest of what that made available (R12, S7)",
    ),
    required("saved_at", MOMENT, "time of the event that described it (R6)"),
    required("learners", Integer, "numbers given out; the next learner is this plus one", default="0"),
    optional("logo", Text, "URL of the picture at the head of mails"),
    optional("colour", Text, "of buttons in mails, as #rrggbb", check="colour ~ '^#[0-9A-Fa-f]{6}$'"),
    UniqueConstraint("id"),
    comment="customers of the platform, as the platform described them last",
)
