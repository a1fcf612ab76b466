"""Mailings, their ledger of deliveries, and what the gate reads."""

from sqlalchemy import BigInteger, Boolean, Enum, Integer, SmallInteger, Table, Text, UniqueConstraint, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from config.tables import MOMENT, TRACEPARENT, index, key, metadata, optional, required

DELIVERY_STATE = Enum(
    "pending", "accepted", "skipped", "failed", "cancelled", "uncertain", name="delivery_state", metadata=metadata
)

#: The SQL functions of this capability, and what each is for.
FUNCTIONS = {
    "in_months": "whether a mailing has a number of some months: so a statement finds its partitions of the ledger",
    "is_admin": "whether a recipient of a mailing is an admin, and no learner",
    "mail_verdict": "the gate: the one place that says who may be mailed now (R15, S9)",
    "mail_key": "by what addresses are compared, whatever the locale; suppressions are kept by it",
    "month_of_number": "the beginning of the month of which the number of a mailing is",
    "number_of_month": "the lowest number that a mailing of a month has, in the epoch of this cell",
    "same_month": "whether two mailings have numbers of one month: so a statement finds its partition of the ledger",
}

mailings = Table(
    "mailings",
    metadata,
    key("organisation", Integer),
    key("mailing", BigInteger, numbered=True),
    required(
        "kind",
        Text,
        "announcements are an admin's; the others are notices",
        check="kind IN ('announcement', 'enrolment', 'digest', 'password', 'seats')",
    ),
    required("source", Text, "of a notice: of the event that caused it, whose id it carries", default="''"),
    required("id", Text, "of an announcement its own; of a notice, with source, that of the event that caused it"),
    required(
        "state",
        Text,
        "announcements move by MOVES; notices are sending, then finished",
        check="state IN ('draft', 'scheduled', 'late', 'sending', 'paused', 'cancelled', 'finished',"
        " 'finished with failures')",
    ),
    required(
        "policy",
        Text,
        "what becomes of a mail of which nobody knows whether it went (R19)",
        check="policy IN ('hold', 'resend')",
    ),
    required("subject", Text, "with merge fields; empty: of a notice, whose template has it", default="''"),
    required("body", Text, "Markdown with merge fields; empty: of a notice", default="''"),
    required(
        "audience",
        JSONB,
        "of an announcement: whom its admin named: everyone, segments or learners, by id",
        default="'{}'",
    ),
    optional("figures", JSONB, "of a warning of seats: how much of the pool is used; null: of any other"),
    required("learners", ARRAY(Integer), "for a password notice: the learners it lists", default="'{}'"),
    optional("counts", JSONB, "how its deliveries stood at counted_at, by state and reason"),
    optional(
        "counted_at",
        MOMENT,
        "of an announcement: finished_at as its deliveries were counted; any other: they are counted anew",
    ),
    optional("send_at", MOMENT, "null: not scheduled"),
    optional("time_zone", Text, "of send_at, as it was written"),
    required("created_at", MOMENT, default="now()"),
    optional("launched_at", MOMENT, "null: not yet"),
    optional("finished_at", MOMENT, "since when nothing is left to do: of a cancelled one, soon after it was"),
    optional("traceparent", Text, "the trace that it belongs to; null: none is known", default=TRACEPARENT),
    UniqueConstraint("organisation", "kind", "source", "id"),
    index("mailings_open", "organisation", where="state IN ('sending', 'cancelled') AND (finished_at IS NULL)"),
    index("mailings_paused", "organisation", "mailing", where="kind = 'announcement' AND state = 'paused'"),
    index("mailings_announcements", "organisation", "mailing", where="kind = 'announcement'"),
    index(
        "mailings_uncounted",
        "organisation",
        "mailing",
        where="kind = 'announcement' AND (finished_at IS NOT NULL) AND (counted_at IS DISTINCT FROM finished_at)",
    ),
    comment="announcements and notices: what is sent, and how far it is",
)

mailing_changes = Table(
    "mailing_changes",
    metadata,
    key("organisation", Integer),
    key("mailing", BigInteger),
    key("change", BigInteger, numbered=True),
    required("at", MOMENT, default="now()"),
    required("move", Text, "a word of MOVES"),
    optional("before", Text, "the state; null: it was created"),
    required("after", Text, "the state"),
    required("by", Text, "a user, the source of an event, or rollcall"),
    optional("why", Text, "of a pause that nobody asked for"),
    comment="what was done with an announcement, by whom and when; notices have no such life",
)

deliveries = Table(
    "deliveries",
    metadata,
    key("organisation", Integer),
    key("mailing", BigInteger),
    key("recipient", Integer, "a learner; below zero an admin, whose address is kept"),
    required("state", DELIVERY_STATE),
    required("attempts", SmallInteger, "tries since the launch, or since the failed were last retried", default="0"),
    optional("code", SmallInteger, "of the reply, as in SMTP"),
    optional("settled_at", MOMENT, "when it came to its last state; null: pending"),
    optional("due_at", MOMENT, "no further attempt is made before; null: it may be tried, or is being tried"),
    optional("reason", Text, "why it is in its state: docs/states.md"),
    optional("reply", Text, "the server's text"),
    optional("address", Text, "of an admin; of a learner the one that was tried last, once that settled the delivery"),
    postgresql_partition_by="RANGE (mailing)",
    comment="the ledger of mail: one row for each mailing and recipient, written before anything is sent (R18). A"
    " partition for each month of mailings",
)

attempts = Table(
    "attempts",
    metadata,
    key("organisation", Integer),
    key("mailing", BigInteger),
    key("recipient", Integer),
    key("attempted_at", MOMENT),
    optional("code", SmallInteger, "of the reply, as in SMTP"),
    required("reason", Text, "as in deliveries"),
    optional("reply", Text, "the server's text"),
    optional("address", Text, "where it went, which the learner's may not be any more"),
    postgresql_partition_by="RANGE (attempted_at)",
    comment="attempts that settled nothing; the one that did is the delivery itself (R18). A partition for each month",
)

suppressions = Table(
    "suppressions",
    metadata,
    key("organisation", Integer),
    key("address", Text, "by mail_key()"),
    required("reason", Text, "docs/states.md lists them"),
    required("since", MOMENT, default="now()"),
    optional("why", Text, "the status code that was reported, or what a person said"),
    optional("by_whom", Text, "null: a report or a reply of a mail server"),
    required("number", BigInteger, "in the order in which they came", numbered=True),
    index("suppressions_in_order", "organisation", "number", unique=True),
    comment="addresses that get no more mail from an organisation; the gate reads it (R15)",
)

lifted_suppressions = Table(
    "lifted_suppressions",
    metadata,
    key("organisation", Integer),
    key("address", Text, "by mail_key()"),
    required("lifted_at", MOMENT, default="now()"),
    optional("why", Text, "what the person said"),
    required("by_whom", Text, "the user of the command, or --by"),
    comment="what went to an address before a person lifted its suppression counts no more",
)

unsubscribed = Table(
    "unsubscribed",
    metadata,
    key("organisation", Integer),
    key("learner", Integer),
    required("since", MOMENT, default="now()"),
    comment="learners who asked for no more announcements; the gate reads it (R15)",
)

mail_control = Table(
    "mail_control",
    metadata,
    key("single", Boolean, "there is one row", default="true", check="single"),
    required("installation", Uuid, "which database this is: restored, it is the same"),
    optional("paused_at", MOMENT, "null: mail may leave"),
    optional("paused_by", Text, "the user of the command, or rollcall"),
    optional("why", Text, "null: not paused", check="why IN ('by hand', 'restored')"),
    required(
        "asks", Boolean, "it was restored, and nobody has said yet what is to become of its mail", default="false"
    ),
    optional("restored_at", MOMENT, "when a person said what is to become of its mail"),
    optional("known_until", MOMENT, "until when mails are looked up in known_sent before they go"),
    comment="whether mail may leave at all; the gate reads it",
)

known_sent = Table(
    "known_sent",
    metadata,
    key("message", BigInteger, "the number in its Message-ID"),
    required("accepted", Boolean, "false: nobody knows whether the server accepted it"),
    comment="mails that went after the moment to which this database was restored, by Message-ID",
)
