"""What is to be done."""

from sqlalchemy import BigInteger, Boolean, Integer, SmallInteger, Table, Text

from config.tables import MOMENT, TRACEPARENT, index, key, metadata, optional, required

#: The SQL functions of this capability, and what each is for.
FUNCTIONS = {
    "halted": "whether a kind of work of an organisation is not to be begun: the one answer",
    "wake_relay": "trigger of work, fanouts, outbox and replays: notifies the relay that there is something to do",
}

work = Table(
    "work",
    metadata,
    key("organisation", Integer),
    key("work", BigInteger, numbered=True),
    required("queue", Text, "which pool does it", check="queue IN ('tasks', 'mail', 'bulk')"),
    required("actor", Text, "what is to be done; the name of a dramatiq actor"),
    required(
        "subject",
        BigInteger,
        "of what: of a fan-out or mailing its number; of events the number from which to look; otherwise 0",
    ),
    required(
        "low",
        Integer,
        "with high: a range of learners, or of recipients, both included; 0 and 0: no range",
        default="0",
    ),
    required("high", Integer, default="0"),
    required(
        "state",
        Text,
        "held: until its mailing is resumed; failing: until a person retries it",
        default="'due'",
        check="state IN ('due', 'offered', 'running', 'held', 'scheduled', 'failing')",
    ),
    required(
        "due_at", MOMENT, "when to wake someone: for offered and running work, when the lease runs out", default="now()"
    ),
    required(
        "fence", Integer, "grows with each claim: an outcome is written only under the fence of its claim", default="0"
    ),
    required("failures", Integer, "in a row; the pause before the next try grows with it", default="0"),
    optional(
        "begun",
        BigInteger,
        "mail: the last recipient whose sending has begun, unless every outcome is written; of events, the last that"
        " somebody began to take in its turn",
    ),
    required("lost", Integer, "claims in a row after which nothing was heard", default="0"),
    required(
        "alone", Integer, "of these, tries with nothing beside it in its process: after some it is failing", default="0"
    ),
    required("since", MOMENT, "when it first became due; offers and leases leave it alone", default="now()"),
    optional("traceparent", Text, "the trace that it belongs to; null: none is known", default=TRACEPARENT),
    index("work_due", "queue", "organisation", "due_at"),
    index("work_in_flight", "queue", where="state IN ('offered', 'running')"),
    index("work_next", "due_at"),
    index("work_of_subject", "organisation", "subject", "actor"),
    comment="what is to be done; a finished piece is deleted, its outcome stands in the tables it wrote",
)

pools = Table(
    "pools",
    metadata,
    key("queue", Text, check="queue IN ('tasks', 'mail', 'bulk')"),
    required(
        "claimed_at", MOMENT, "when a piece was begun last: `rollcall status` tells a pool that does not run by it"
    ),
    optional("paused_at", MOMENT, "null: its workers work"),
    optional("paused_by", Text, "a user, an account or a token"),
    optional("paused_why", Text, "as whoever paused it said"),
    comment="whether a pool works: when it began a piece last, to within two seconds, and whether it is paused",
)

halts = Table(
    "halts",
    metadata,
    key("organisation", Integer, "0: every organisation"),
    key("kind", Text, "the name of an actor; empty: every kind of work"),
    required("since", MOMENT, default="now()"),
    required("by_whom", Text, "a user, an account or a token; rollcall: its fuse"),
    required("why", Text),
    required("is_fuse", Boolean, "it opened by itself, since that work failed again and again", default="false"),
    comment="what is not begun until a person says so: the work of an organisation, a kind of work, or both",
)

mail_pulses = Table(
    "mail_pulses",
    metadata,
    key("shard", SmallInteger),
    required("n", BigInteger, "only grows; one that is lower than was seen tells a restored database", default="0"),
    postgresql_with={"fillfactor": 20},
    comment="how many groups of mails were begun; counted in parts, so that nobody waits",
)
