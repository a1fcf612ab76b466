"""The numbers behind `rollcall status`, as Prometheus reads them: those that can be had, whatever is away."""

import redis
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from config.outages import REDIS
from config.runtime import Runtime
from tasks.mail.outages import Outage
from tasks.mail.rates import outages
from workers.readers import StreamStanding
from workers.relay import unread
from workers.standing import InDatabase, in_database, streams


class Numbers(Collector):
    """What `rollcall status` shows, asked anew at each scrape. `rollcall_up` says which servers answer; what those that
    do not would have to say is left out."""

    def __init__(self, runtime: Runtime, client: redis.Redis) -> None:
        self._runtime = runtime
        self._client = client

    def collect(self) -> list[Metric]:
        """What can be had now."""
        metrics: list[Metric] = []
        up = GaugeMetricFamily("rollcall_up", "Whether a server answers", labels=["server"])
        waiting = None
        try:
            waiting = unread(self._client)
            metrics.append(_mail_metrics(outages(self._client, self._runtime.endpoints.mail_from)))
            REDIS.end()
        except redis.RedisError as problem:
            REDIS.begin(problem, self._runtime.endpoints.redis_url)
        else:
            metrics.append(GaugeMetricFamily("rollcall_events_unread", "Events in, not taken yet", value=waiting))
        answers = True
        try:
            metrics += _metrics(in_database(self._runtime))
            if waiting is not None:
                metrics += _stream_metrics(streams(self._runtime, self._client))
        except SQLAlchemyError:  # said by whoever watches the engine
            answers = False
        except redis.RedisError as problem:
            REDIS.begin(problem, self._runtime.endpoints.redis_url)
            waiting = None
        up.add_metric(["postgresql"], answers)
        up.add_metric(["redis"], waiting is not None)
        return [up, *metrics]


def _mail_metrics(stopped: list[Outage]) -> Metric:
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
    stalled = GaugeMetricFamily("rollcall_work_stalled", "Whether work waits and nobody begins any", labels=["queue"])
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
    webhooks = GaugeMetricFamily("rollcall_webhooks", "Webhooks; failing ones are enabled, too", labels=["state"])
    for state in ("enabled", "failing", "disabled"):
        webhooks.add_metric([state], getattr(standing.webhooks, state))
    lag = GaugeMetricFamily(
        "rollcall_webhooks_lag_seconds", "Age of the oldest event due to one", value=standing.webhooks.lag_seconds or 0
    )
    return [due, oldest, in_flight, stalled, failing, held, mailings, unpublished, webhooks, lag]


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
