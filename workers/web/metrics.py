"""The numbers behind `rollcall status`, as Prometheus reads them: those that can be had, whatever is away."""

from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.core import CollectorRegistry, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tasks.mail import MailOutage
from tasks.system import InDatabase, InRedis, StreamStanding


@dataclass(frozen=True, slots=True, eq=False)
class Numbers(Collector):
    """What `rollcall status` shows, at one scrape. `rollcall_up` says which servers answer; what those that do not
    would have to say is None, and left out."""

    tables: InDatabase | None
    redis: InRedis | None
    streams: list[StreamStanding]

    def collect(self) -> list[Metric]:
        """What could be had."""
        up = GaugeMetricFamily("rollcall_up", "Whether a server answers", labels=["server"])
        up.add_metric(["postgresql"], self.tables is not None)
        up.add_metric(["redis"], self.redis is not None)
        stalled = GaugeMetricFamily(
            "rollcall_stalled", "Whether a process does not run, though there is something to do", labels=["process"]
        )
        metrics: list[Metric] = [up, stalled]
        if self.redis is not None:
            stalled.add_metric(["ingress"], self.redis.ingress_stalled)
            metrics.append(_mail_metrics(self.redis.mail_stopped))
            metrics.append(
                GaugeMetricFamily("rollcall_events_unread", "Events in, not taken yet", value=self.redis.unread)
            )
        if self.tables is not None:
            stalled.add_metric(["relay"], self.tables.relay_stalled)
            metrics += _metrics(self.tables)
        return metrics + (_stream_metrics(self.streams) if self.streams else [])

    def page(self) -> bytes:
        """The same, as Prometheus reads it."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)


def _mail_metrics(stopped: list[MailOutage]) -> Metric:
    since = GaugeMetricFamily(
        "rollcall_mail_stopped_since_seconds",
        "Unix time since which no mail goes, everywhere or to a domain; none where all goes",
        labels=["where", "about"],
    )
    for one in stopped:
        since.add_metric([one.where, one.about], one.since.timestamp())
    return since


def _metrics(standing: InDatabase) -> list[Metric]:
    due = GaugeMetricFamily("rollcall_work_due", "Pieces of work nobody has begun", labels=["queue"])
    oldest = GaugeMetricFamily("rollcall_work_oldest_due_seconds", "Age of the oldest of them", labels=["queue"])
    in_flight = GaugeMetricFamily("rollcall_work_in_flight", "Pieces being worked on", labels=["queue"])
    stalled = GaugeMetricFamily(
        "rollcall_work_stalled", "Whether workers were woken and nobody begins any", labels=["queue"]
    )
    failing = GaugeMetricFamily("rollcall_work_failing", "Pieces whose workers never came back", labels=["queue"])
    for load in standing.queues:
        due.add_metric([load.queue], load.due)
        oldest.add_metric([load.queue], load.oldest_due_seconds or 0.0)
        in_flight.add_metric([load.queue], load.in_flight)
        stalled.add_metric([load.queue], load.stalled)
        failing.add_metric([load.queue], load.failing)
    held = GaugeMetricFamily("rollcall_events_held", "Events that could not be taken", labels=["state"])
    for state, n in standing.quarantine.items():
        held.add_metric([state], n)
    mailings = GaugeMetricFamily("rollcall_mailings_sending", "Mailings on their way", value=standing.mailings_sending)
    unpublished = GaugeMetricFamily(
        "rollcall_events_unpublished", "Events out, not published yet", value=standing.unpublished
    )
    paused = GaugeMetricFamily(
        "rollcall_mail_paused_since_seconds", "Unix time since which all mail is paused; none otherwise", labels=["why"]
    )
    if standing.mail_paused is not None:
        paused.add_metric([standing.mail_paused.why], standing.mail_paused.since.timestamp())
    webhooks = GaugeMetricFamily("rollcall_webhooks", "Webhooks; failing ones are enabled, too", labels=["state"])
    for state in ("enabled", "failing", "disabled"):
        webhooks.add_metric([state], getattr(standing.webhooks, state))
    lag = GaugeMetricFamily(
        "rollcall_webhooks_lag_seconds", "Age of the oldest event due to one", value=standing.webhooks.lag_seconds or 0
    )
    return [due, oldest, in_flight, stalled, failing, held, mailings, unpublished, paused, webhooks, lag]


def _stream_metrics(found: list[StreamStanding]) -> list[Metric]:
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
        if stream.bytes is not None:
            memory.add_metric([stream.stream], stream.bytes)
        for group in stream.groups:
            labels = [stream.stream, group.name]
            consumers.add_metric(labels, group.consumers)
            not_read.add_metric(labels, group.unread)
            pending.add_metric(labels, group.pending)
            oldest.add_metric(labels, group.oldest_seconds or 0.0)
            pins.add_metric(labels, group.pins)
    return [length, memory, consumers, not_read, pending, oldest, pins]
