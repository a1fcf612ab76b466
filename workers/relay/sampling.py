"""Keeps, minute by minute, how much waits and how much went through: the page of operators shows hours of it."""

import redis
from sqlalchemy import Connection

from config.counting import series_of
from config.database import autocommit
from config.outages import is_redis_outage
from config.runtime import Runtime
from config.streams import make_redis
from tasks import events, fleet, system, work
from tasks.system import Flow, FlowSample
from workers.queues import QUEUES
from workers.relay.chore import Chore
from workers.relay.wake import WOKEN


class TakeSamples(Chore):
    """Takes a sample of each flow, and keeps none of a minute that was as idle as the one before it.

    While Redis is away, what waits on its stream is not known, and the rest is kept."""

    name = "samples"
    seconds = 60.0

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self._redis = make_redis(runtime.endpoints.redis_url)
        self._before: dict[Flow, int] = {}
        self._busy_before: dict[Flow, float] = {}
        self._was_idle = False

    def do(self) -> None:
        """Take them, and drop those whose time is over."""
        unread = self._unread()
        with autocommit(self.runtime.engine) as connection:
            reached = system.positions(connection)
            loads = {} if reached.at_rest else {load.queue: load for load in work.loads(connection)}
            now = {Flow(queue): WOKEN[queue] for queue in QUEUES}
            now |= {Flow.IN: reached.stored, Flow.OUT: reached.published}
            passed = {
                flow: n - self._before[flow] if n >= self._before.get(flow, n + 1) else None for flow, n in now.items()
            }
            rests = reached.at_rest and self._was_idle and not any(passed.values())
            busy = self._busy_before if rests else self._busy(connection)
            found = []
            for queue in QUEUES:
                flow = Flow(queue)
                worked = busy[flow] - self._busy_before[flow] if flow in self._busy_before else None
                load = loads.get(queue)
                stands = (load.due, load.oldest_due_seconds, load.in_flight, load.failing) if load else (0, None, 0, 0)
                found.append(FlowSample(reached.minute, flow, *stands, passed[flow], worked))
            waiting = {Flow.IN: unread, Flow.OUT: 0 if reached.at_rest else events.unpublished(connection)}
            found += [FlowSample(reached.minute, flow, n, None, 0, 0, passed[flow]) for flow, n in waiting.items()]
            idle = system.is_idle(found)
            if not (idle and self._was_idle):
                system.keep(connection, found)
                system.forget_samples(connection)
        self._was_idle = idle
        self._before, self._busy_before = now, busy

    @staticmethod
    def _busy(connection: Connection) -> dict[Flow, float]:
        """For how long the workers of each pool have worked on pieces, ever."""
        counted = fleet.counted(connection)
        return {
            Flow(queue): counted.get(series_of("rollcall_work_seconds_sum", {"queue": queue}), 0.0) for queue in QUEUES
        }

    def _unread(self) -> int | None:
        try:
            return system.unread(self._redis)
        except redis.RedisError as problem:
            if not is_redis_outage(problem):
                raise
            return None
