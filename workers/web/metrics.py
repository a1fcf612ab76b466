"""What Prometheus reads: how everything stands, and what all processes counted, as far as it can be had.

Each series is there from the first scrape on, and stays: what is nothing says 0. Labels have few values; none names a
person, and none an organisation.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf

from prometheus_client import generate_latest
from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from config.counting import COUNTED, QUEUES, CountedMetric, series_of
from tasks import fleet, retention
from tasks.mail import EVERYWHERE
from tasks.system import InDatabase, InRedis, StreamStanding
from tasks.webhooks import Health
from tasks.work import KINDS, Load

#: Where mail may be stopped, as a label: everywhere, or at some domains.
DOMAINS = "domains"

#: Why all mail may be paused, and the states of events that could not be taken.
PAUSED, HELD = ("by hand", "restored"), ("waiting", "turn", "quarantined")


#: Consumer groups of a stream that are shown; who has more than these shows them elsewhere.
MOST_GROUPS = 32


@dataclass(frozen=True, slots=True)
class CountedByAll:
    """Which processes run, what all of them counted, and the partitions that one of them makes and drops."""

    processes: list[fleet.Process]
    counted: Mapping[str, float]
    partitions: list[retention.Partition]


@dataclass(frozen=True, slots=True, eq=False)
class Numbers(Collector):
    """What is shown at one scrape. `rollcall_up` says which servers answer; what those that do not would have to say is
    None, and left out."""

    tables: InDatabase | None
    redis: InRedis | None
    streams: list[StreamStanding]
    fleet: CountedByAll | None = None

    def collect(self) -> list[Metric]:
        """What could be had."""
        return [
            _gauge(
                "up",
                "Whether a server answers",
                {"postgresql": self.tables is not None, "redis": self.redis is not None},
                "server",
            ),
            *self._stalled(),
            *([] if self.redis is None else _of_redis(self.redis)),
            *([] if self.tables is None else _of_tables(self.tables)),
            *([] if self.fleet is None else _of_fleet(self.fleet)),
            *(_of_streams(self.streams) if self.streams else []),
        ]

    def _stalled(self) -> Iterator[Metric]:
        found = {
            **({} if self.redis is None else {"ingress": self.redis.ingress_stalled}),
            **({} if self.tables is None else {"relay": self.tables.relay_stalled}),
        }
        yield _gauge("stalled", "Whether a process does not run, though there is something to do", found, "process")

    def page(self) -> bytes:
        """The same, as Prometheus reads it."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)


def _gauge(name: str, help_: str, values: Mapping[str, float], label: str) -> Metric:
    """A gauge with one label."""
    found = GaugeMetricFamily(f"rollcall_{name}", help_, labels=[label])
    for value, n in values.items():
        found.add_metric([value], n)
    return found


def _single(name: str, help_: str, n: float) -> Metric:
    return GaugeMetricFamily(f"rollcall_{name}", help_, value=n)


def _of_redis(found: InRedis) -> Iterator[Metric]:
    where = [EVERYWHERE if one.where == EVERYWHERE else DOMAINS for one in found.mail_stopped]
    since = {EVERYWHERE: 0.0, DOMAINS: 0.0}
    for at, one in zip(where, found.mail_stopped, strict=True):
        since[at] = min(since[at] or inf, one.since.timestamp())
    yield _gauge(
        "mail_stopped_since_seconds",
        "Unix time since which no mail goes, everywhere or to some domain; 0: it goes",
        since,
        "where",
    )
    yield _single("mail_stopped_domains", "Domains to which no mail goes", where.count(DOMAINS))
    yield _single("events_unread", "Events in, not taken yet", found.unread)


def _of_tables(found: InDatabase) -> Iterator[Metric]:
    loads = {load.queue: load for load in found.queues}
    queues = [loads.get(queue, Load(queue, 0, None, 0, 0, 0, stalled=False)) for queue in QUEUES]
    yield _gauge("work_due", "Pieces of work nobody has begun", {q.queue: q.due for q in queues}, "queue")
    yield _gauge(
        "work_oldest_due_seconds",
        "Age of the oldest of them",
        {q.queue: q.oldest_due_seconds or 0.0 for q in queues},
        "queue",
    )
    yield _gauge("work_in_flight", "Pieces being worked on", {q.queue: q.in_flight for q in queues}, "queue")
    yield _gauge("work_resting", "Pieces that are held or scheduled", {q.queue: q.resting for q in queues}, "queue")
    stalled = {q.queue: q.stalled for q in queues}
    yield _gauge("work_stalled", "Whether workers were woken and nobody begins any", stalled, "queue")
    failing = {q.queue: q.failing for q in queues}
    yield _gauge("work_failing", "Pieces whose workers never came back", failing, "queue")
    paused = {pool.pool for pool in found.pools_paused}
    yield _gauge("pool_paused", "Whether a pool is paused", {queue: queue in paused for queue in QUEUES}, "queue")
    fuses = {one.kind for one in found.halts if one.is_fuse}
    open_ = {kind: kind in fuses for kind in KINDS}
    yield _gauge(
        "fuse_open", "Whether a kind of work is not begun any more, as it failed again and again", open_, "kind"
    )
    by_hand = sum(not one.is_fuse for one in found.halts)
    yield _single("work_halts", "Kinds and organisations whose work somebody has paused", by_hand)
    held = {state: found.quarantine.get(state, 0) for state in HELD}
    yield _gauge("events_held", "Events that could not be taken", held, "state")
    yield _single("mailings_sending", "Mailings on their way", found.mailings_sending)
    yield _single("fanouts_running", "Fan-outs that are not finished", found.fanouts_running)
    yield _single("events_unpublished", "Events out, not published yet", found.unpublished)
    stopped = found.mail_paused
    yield _gauge(
        "mail_paused_since_seconds",
        "Unix time since which all mail is paused; 0: it is not",
        {why: stopped.since.timestamp() if stopped is not None and stopped.why == why else 0 for why in PAUSED},
        "why",
    )
    yield from _of_webhooks(found.webhooks)


def _of_webhooks(found: Health) -> Iterator[Metric]:
    states = {"enabled": found.enabled, "failing": found.failing, "disabled": found.disabled}
    yield _gauge("webhooks", "Webhooks; failing ones are enabled, too", states, "state")
    yield _single("webhooks_lag_seconds", "Age of the oldest event due to one", found.lag_seconds or 0)


def _of_fleet(found: CountedByAll) -> Iterator[Metric]:
    running = found.processes
    roles = {role.value: sum(one.role == role for one in running) for role in fleet.ProcessRole}
    yield _gauge("processes", "Processes that run, on all hosts", roles, "role")
    workers = {queue: sum(queue in one.queues for one in running) for queue in QUEUES}
    yield _gauge("queue_processes", "Processes that work on a queue", workers, "queue")
    yield _single("relay_leaders", "Relays that say that they lead", sum(one.leads for one in running))
    yield _single(
        "releases",
        "Versions of Rollcall that run: more than one during an upgrade",
        len({one.release for one in running}),
    )
    ends: dict[str, float] = {}
    for part in found.partitions:
        if part.until is not None:
            ends[part.of_table] = max(ends.get(part.of_table, 0.0), part.until.timestamp())
    yield _gauge(
        "partitions_end_timestamp_seconds", "Unix time at which the last partition of a table ends", ends, "table"
    )
    for name, metric in COUNTED.items():
        yield (_histogram if metric.buckets else _counter)(name, metric, found.counted)


def _counter(name: str, metric: CountedMetric, counted: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name.removesuffix("_total"), metric.help, labels=list(metric.labels))
    for labels in metric.series():
        family.add_metric(list(labels.values()), counted.get(series_of(name, labels), 0.0))
    return family


def _histogram(name: str, metric: CountedMetric, counted: Mapping[str, float]) -> Metric:
    family = HistogramMetricFamily(name, metric.help, labels=list(metric.labels))
    for labels in metric.series():
        total, buckets = 0.0, []
        for end in (*map(str, metric.buckets), "+Inf"):
            total += counted.get(series_of(f"{name}_bucket", labels | {"le": end}), 0.0)
            buckets.append((end, total))
        family.add_metric(list(labels.values()), buckets, counted.get(series_of(f"{name}_sum", labels), 0.0))
    return family


def _of_streams(found: Iterable[StreamStanding]) -> list[Metric]:
    length = GaugeMetricFamily("rollcall_stream_length", "Entries on a stream", labels=["stream"])
    memory = GaugeMetricFamily("rollcall_stream_bytes", "Memory a stream takes", labels=["stream"])
    names = ["stream", "group"]
    consumers = GaugeMetricFamily("rollcall_group_consumers", "Consumers of a group", labels=names)
    not_read = GaugeMetricFamily("rollcall_group_unread", "Entries a group has not read", labels=names)
    pending = GaugeMetricFamily("rollcall_group_pending", "Entries read and not acknowledged", labels=names)
    oldest = GaugeMetricFamily("rollcall_group_oldest_seconds", "Age of the oldest of both", labels=names)
    pins = GaugeMetricFamily("rollcall_group_pins", "Whether the stream is kept because of it", labels=names)
    for stream in found:
        length.add_metric([stream.stream], stream.length)
        if stream.bytes is not None or not stream.length:  # some servers do not say
            memory.add_metric([stream.stream], stream.bytes or 0)
        for group in stream.groups[:MOST_GROUPS]:
            labels = [stream.stream, group.name]
            consumers.add_metric(labels, group.consumers)
            not_read.add_metric(labels, group.unread)
            pending.add_metric(labels, group.pending)
            oldest.add_metric(labels, group.oldest_seconds or 0.0)
            pins.add_metric(labels, group.pins)
    return [length, memory, consumers, not_read, pending, oldest, pins]
