"""What was counted, and when."""

from sqlalchemy import BigInteger, Date, Double, Integer, Table, Text

from config.tables import MOMENT, index, key, metadata, optional, required

counts = Table(
    "counts",
    metadata,
    key("organisation", Integer),
    required("asked_at", MOMENT, "when a worker was asked to count"),
    optional("counted_at", MOMENT, "how it stood then is what is kept; null: not counted yet"),
    optional("seconds", Double, "how long the counting took"),
    comment="when the numbers of an organisation were counted last, where that takes long",
)

course_counts = Table(
    "course_counts",
    metadata,
    key("organisation", Integer),
    key("id", Text, "the platform's id"),
    required("title", Text),
    required("enrolled", BigInteger, "who are, and are not withdrawn"),
    required("started", BigInteger, "of these"),
    required("completed", BigInteger, "of these"),
    required("not_started", BigInteger, "of those enrolled"),
    required("withdrawn", BigInteger, "who were enrolled"),
    index("course_counts_most", "organisation", "enrolled DESC", "id"),
    comment="analytics of the active by course, as they were counted last (R29)",
)

segment_counts = Table(
    "segment_counts",
    metadata,
    key("organisation", Integer),
    key("id", Text, "the platform's id"),
    required("name", Text),
    required("members", BigInteger, "who are active"),
    required("enrolled", BigInteger, "enrolments of its active members that are not withdrawn"),
    required("started", BigInteger, "of these"),
    required("completed", BigInteger, "of these"),
    index("segment_counts_most", "organisation", "enrolled DESC", "id"),
    comment="analytics of the active by segment, as they were counted last (R29)",
)

training_days = Table(
    "training_days",
    metadata,
    key("organisation", Integer),
    key("id", Text, "the platform's id of a course; empty: all courses together"),
    key("day", Date, "in UTC"),
    required("started", BigInteger, "enrolments"),
    required("completed", BigInteger, "enrolments"),
    comment="what the active started and completed by day, as it was counted last (R29)",
)

ledger_days = Table(
    "ledger_days",
    metadata,
    key("organisation", Integer),
    key("unit", Text),
    key("period", MOMENT, "when the licence period begins"),
    key("day", Date, "in UTC"),
    required("used", BigInteger, "seats or credits"),
    required("entries", BigInteger, "of the ledger"),
    required("overdrawn", BigInteger, "entries past the pool"),
    comment="what was used in the current licence period by day, as it was counted last (R25)",
)
