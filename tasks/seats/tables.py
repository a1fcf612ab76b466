"""The ledger that customers are billed from, and what it is made of."""

from sqlalchemy import BigInteger, Boolean, Integer, Table, Text

from config.tables import MOMENT, index, key, metadata, optional, required

#: The SQL functions of this capability, and what each is for.
FUNCTIONS = {
    "refuse_change": "trigger: the ledger is append-only",
    "in_period": "whether an entry is of a licence period: the one answer (R25)",
    "counts_in": "whether an entry counts in a balance: the one answer (R26)",
}

balances = Table(
    "balances",
    metadata,
    key("organisation", Integer),
    key("unit", Text, check="unit IN ('seat', 'credit')"),
    key("period", MOMENT, "when it begins"),
    required("used", BigInteger, "the sum of the entries of the period, and of those up to `through` in its bounds"),
    optional("pool", BigInteger, "units of the period; null: no limit"),
    optional("ends", MOMENT, "null: open"),
    required("through", BigInteger, "the last entry when pool and ends came to be what they are", default="0"),
    comment="what is used of a pool in a period: one row to lock for whoever consumes (R26)",
)

consumptions = Table(
    "consumptions",
    metadata,
    key("organisation", Integer),
    key("consumption", BigInteger, numbered=True),
    required("learner", Integer),
    required("course", Integer),
    required("cycle", Integer),
    required("unit", Text, check="unit IN ('seat', 'credit')"),
    required("amount", BigInteger, "1 seat, or the cost of the course in credits then", check="amount >= 0"),
    required("period", MOMENT, "when its licence period begins"),
    required("overdrawn", Boolean, "the pool was used up: recorded all the same (R28)"),
    required("occurred_at", MOMENT, "when the course was started"),
    required("recorded_at", MOMENT, default="now()"),
    required("event", Text, "id of the start"),
    index("consumptions_by_time", "organisation", "occurred_at", "consumption"),
    index("consumptions_of_learner", "organisation", "learner"),
    index("one_credit_charge", "organisation", "learner", "course", "cycle", unique=True, where="unit = 'credit'"),
    index("one_seat_charge", "organisation", "learner", "period", unique=True, where="unit = 'seat'"),
    comment="the ledger: entries are never changed or deleted; billing reads it (R25)",
)

reviews = Table(
    "reviews",
    metadata,
    key("organisation", Integer),
    key("consumption", BigInteger),
    key("code", Text, "what contradicts the entry"),
    required("event", Text, "id of the event that does"),
    required("flagged_at", MOMENT, default="now()"),
    comment="entries of the ledger that a person should look at, since what arrived later contradicts them (R28)",
)

settled_reviews = Table(
    "settled_reviews",
    metadata,
    key("organisation", Integer),
    key("consumption", BigInteger),
    key("code", Text),
    required("settled_at", MOMENT, default="now()"),
    required("by_whom", Text, "the user of the command, or --by"),
    required("why", Text),
    comment="who looked at a flagged entry, and what they found; the flag stays in reviews",
)

starts = Table(
    "starts",
    metadata,
    key("organisation", Integer),
    key("learner", Integer),
    key("course", Integer),
    key("cycle", Integer),
    key("occurred_at", MOMENT),
    required("released", Boolean, "a person said that it is valid (S12)"),
    index("starts_of_course", "organisation", "course", "cycle", "learner"),
    comment="every start that was counted; what arrives later may contradict it (R28)",
)

pool_warnings = Table(
    "pool_warnings",
    metadata,
    key("organisation", Integer),
    key("unit", Text, check="unit IN ('seat', 'credit')"),
    key("period", MOMENT, "when it begins"),
    key("pool", BigInteger),
    key("percent", Integer, "of the pool", check="percent IN (80, 100)"),
    required("used", BigInteger),
    required("warned_at", MOMENT, default="now()"),
    comment="of a pool of one size in one period the admins are warned once",
)
