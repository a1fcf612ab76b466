"""Which processes run, and what they counted."""

from sqlalchemy import Boolean, Double, Integer, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY

from config.tables import MOMENT, key, metadata, optional, required

processes = Table(
    "processes",
    metadata,
    key("process", Uuid, "made when it began"),
    required("role", Text, "what it was started as: ingress, relay, pool, bounces, web or webhooks"),
    required("host", Text, "the name of its host"),
    required("pid", Integer, "of its host"),
    required("release", Text, "the version of Rollcall that it runs"),
    required("queues", ARRAY(Text), "of a pool: those that it works on"),
    required("leads", Boolean, "of a relay: it is the one that does the chores"),
    required("since", MOMENT, "when it began", default="now()"),
    required("seen_at", MOMENT, "when it last said that it runs", default="now()"),
    optional("busy_with", Text, "of a pool: how many pieces of which actors it works on; null: it waits"),
    comment="the processes that run, on every host: each says so once a minute",
)

counted = Table(
    "counted",
    metadata,
    key("series", Text, "as Prometheus writes it: the metric and its labels, all of which are known beforehand"),
    required("n", Double, "only grows"),
    postgresql_with={"fillfactor": 50},
    comment="what all processes together have counted since the installation began",
)
