"""Events in and out."""

from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSON

from config.tables import MOMENT, TRACEPARENT, index, key, metadata, optional, required

#: The SQL functions of this capability, and what each is for.
FUNCTIONS = {
    "begin_period": "begins a period of arrivals, with a partition of its own; its name",
    "claim_as_before": "has an event that version 0.1.0 inserts into inbox known in arrivals, or left out",
    "claim_events": "those of these events that nobody took before, which are ours from now on",
    "current_period": "the period of arrivals in which events come now: replaced as another begins",
    "drop_period": "drops a period of arrivals after which another has begun, with its rows",
    "rfc3339": "a moment as events write it",
}

#: As octets compare: nobody reads ids in the order of a language, and to look them up takes half as long.
_ID = Text(collation="C")

arrivals = Table(
    "arrivals",
    metadata,
    key("id", _ID, "of the event"),
    key("source", _ID, "with id and organisation: which event it is"),
    key("organisation", _ID, "the platform's id, since it may not be saved yet"),
    key("since", MOMENT, "when the period began in which it came"),
    required("seq", BigInteger, "in the order of arrival", numbered=True),
    postgresql_partition_by="LIST (since)",
    comment="which events came in, known for as long as they may come again. A partition for each period",
)

inbox = Table(
    "inbox",
    metadata,
    key("seq", BigInteger, "in the order of arrival, as in arrivals"),
    required("source", Text, "with id and organisation: which event it is"),
    required("id", Text, "of the event"),
    optional("type", Text, "null: not to be read of a malformed one"),
    optional("organisation", Text, "the platform's id, since it may not be saved yet; null: not to be read"),
    required(
        "state",
        Text,
        "applied: as 0.1.0 left them; they are known by it, until they go",
        check="state IN ('applied', 'waiting', 'quarantined', 'released', 'discarded')",
    ),
    required("arrived_at", MOMENT, default="now()"),
    optional("until", MOMENT, "when it is quarantined if that has not come"),
    optional("reason", Text, "why it is not applied: docs/states.md"),
    optional("detail", Text, "of a malformed one, or an error: what is wrong, in words"),
    optional("body", LargeBinary, "kept only while the event is not applied: no personal data lingers here"),
    optional("resolved_by", Text, "who released or discarded it, why and when (S12)"),
    optional("resolved_why", Text),
    optional("resolved_at", MOMENT),
    optional("awaits", Text, "what it is applied after: an organisation, learner, course, enrolment, its turn …"),
    optional("awaits_organisation", Integer, "whose that is; 0: nobody knows the organisation"),
    optional("awaits_id", Text, "the platform's id of it, if it has one"),
    optional("awaits_course", Integer, "of an enrolment that is awaited: its course, cycle and learner"),
    optional("awaits_cycle", Integer, "of that enrolment"),
    optional("awaits_learner", Integer, "or whose earlier status is awaited"),
    index("inbox_awaits_id", "awaits_organisation", "awaits", "awaits_id", where="awaits_id IS NOT NULL"),
    index(
        "inbox_awaits_learner",
        "awaits_organisation",
        "awaits",
        "awaits_course",
        "awaits_learner",
        where="awaits_learner IS NOT NULL",
    ),
    index("inbox_decided", "seq", where="state IN ('released', 'discarded')"),
    index("inbox_decided_of", "organisation", "seq", where="state IN ('released', 'discarded')"),
    index("inbox_event", "source", "id", "organisation", unique=True, where="reason IS DISTINCT FROM 'malformed'"),
    index("inbox_held", "organisation", "seq", where="state IN ('waiting', 'quarantined')"),
    index("inbox_held_in_order", "seq", where="state IN ('waiting', 'quarantined')"),
    index("inbox_malformed", "sha256(body)", unique=True, where="reason = 'malformed'"),
    index("inbox_turn", "awaits_organisation", "seq", where="awaits = 'turn'"),
    index("inbox_until", "until", where="state = 'waiting'"),
    comment="events in that wait, are quarantined, or were decided on; and those that 0.1.0 took",
)

outbox = Table(
    "outbox",
    metadata,
    key("organisation", Integer),
    key("seq", BigInteger, "in the order of writing; numbers become visible out of order", numbered=True),
    required("id", Uuid, "of the event, as it goes out", default="gen_random_uuid()"),
    required("type", Text),
    key("time", MOMENT, default="now()"),
    required("data", JSON, "its JSON as written; stored uncompressed"),
    optional(
        "position", BigInteger, "its place in the one order of all events out; null: the relay has not given it one yet"
    ),
    optional("traceparent", Text, "the trace that it belongs to; null: none is known", default=TRACEPARENT),
    index("outbox_position", "position", where="position IS NOT NULL"),
    index("outbox_unordered", "seq", where="position IS NULL"),
    index("outbox_usernames", "organisation", "(data ->> 'learner')", where="type = 'rollcall.learner.password_void'"),
    postgresql_partition_by="RANGE (time)",
    comment="events out, kept for as long as they may be published again. A partition for each month",
)

publication = Table(
    "publication",
    metadata,
    key("single", Boolean, "there is one row", default="true", check="single"),
    required("ordered", BigInteger, "the last position that was given", default="0"),
    required("published", BigInteger, "the last position that is on rollcall:out", default="0"),
    required("published_at", MOMENT, "when events were last published", default="'-infinity'"),
    comment="how far the outbox has been put in order, and published",
)

replays = Table(
    "replays",
    metadata,
    key("organisation", Integer),
    key("replay", BigInteger, numbered=True),
    required("seq", BigInteger, "the event, as in outbox"),
    required("at", MOMENT, default="now()"),
    optional("position", BigInteger, "as in outbox"),
    index("replays_position", "position", unique=True, where="position IS NOT NULL"),
    index("replays_unordered", "replay", where="position IS NULL"),
    comment="events of the outbox to be published once more, by hand, each after all others",
)

readers = Table(
    "readers",
    metadata,
    key("name", LargeBinary, "of the consumer group, in bytes"),
    required("acknowledged", BigInteger, "the position up to which the group had read and acknowledged everything"),
    required("seen_at", MOMENT, "when the relay last saw it", default="now()"),
    comment="the consumer groups of rollcall:out, for when Redis has forgotten them",
)
