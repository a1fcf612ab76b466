"""How much there was to do, minute by minute."""

from sqlalchemy import BigInteger, Double, Table, Text

from config.tables import MOMENT, key, metadata, optional, required

samples = Table(
    "samples",
    metadata,
    key("at", MOMENT, "the beginning of the minute"),
    key("flow", Text, "a queue, or the events in or out", check="flow IN ('tasks', 'mail', 'bulk', 'in', 'out')"),
    optional("waiting", BigInteger, "pieces that are due, or events; null: Redis was away"),
    optional("oldest_seconds", Double, "for how long the oldest of these has been due; null: nothing is, or not known"),
    required("in_flight", BigInteger, "pieces that were being worked on"),
    required("failing", BigInteger, "pieces that were set aside"),
    optional("passed", BigInteger, "how many went through since the sample before; null: there was none"),
    optional("busy_seconds", Double, "of pieces: for how long they were worked on since then; null: not known"),
    comment="how much waited, a row for each flow and minute; the relay keeps two days of them",
)
