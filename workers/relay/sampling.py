"""Keeps, minute by minute, how much waits and how much went through: the page of operators shows hours of it."""

import redis

from config.database import autocommit
from config.outages import is_redis_outage
from config.runtime import Runtime
from config.streams import make_redis
from tasks import events, system, work
from tasks.system import Flow
from workers.queues import QUEUES
from workers.relay.chore import Chore
from workers.relay.wake import WOKEN


class TakeSamples(Chore):
    """Takes a sample of each flow. While Redis is away, what waits on its stream is not known, and the rest is kept."""

    name = "samples"
    seconds = 60.0

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self._redis = make_redis(runtime.endpoints.redis_url)
        self._before: dict[Flow, int] = {}

    def do(self) -> None:
        """Take them, and drop those whose time is over."""
        unread = self._unread()
        with autocommit(self.runtime.engine) as connection:
            loads = {load.queue: load for load in work.loads(connection)}
            reached = system.positions(connection)
            now = {Flow(queue): WOKEN[queue] for queue in QUEUES}
            now |= {Flow.IN: reached.stored, Flow.OUT: reached.published}
            passed = {
                flow: n - self._before[flow] if n >= self._before.get(flow, n + 1) else None for flow, n in now.items()
            }
            found: dict[Flow, tuple[float | None, ...]] = {}
            for queue in QUEUES:
                load = loads.get(queue)
                stands = (load.due, load.oldest_due_seconds, load.in_flight, load.failing) if load else (0, None, 0, 0)
                found[Flow(queue)] = (*stands, passed[Flow(queue)])
            found[Flow.IN] = (unread, None, 0, 0, passed[Flow.IN])
            found[Flow.OUT] = (events.unpublished(connection), None, 0, 0, passed[Flow.OUT])
            system.keep(connection, found)
            system.forget_samples(connection)
        self._before = now

    def _unread(self) -> int | None:
        try:
            return system.unread(self._redis)
        except redis.RedisError as problem:
            if not is_redis_outage(problem):
                raise
            return None
