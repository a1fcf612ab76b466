"""Wakes workers for what is due, organisations in turns (R31). A wake-up that is lost is repeated (R33)."""

from collections import Counter
from datetime import timedelta
from itertools import groupby
from operator import attrgetter

from config.database import autocommit
from config.runtime import Runtime
from tasks.work import next_due_seconds, offer
from workers.queues import QUEUES, Broker, message_for
from workers.relay.chore import PACE_SECONDS, Chore

#: For how many pieces of each queue this process has woken somebody; wake-ups that are repeated do not count.
WOKEN: Counter[str] = Counter()


class Wake(Chore):
    """Offers what is due to the workers."""

    name = "wake"
    seconds = 2.5
    news = frozenset({"work"})
    needs_redis = True

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.broker = Broker(runtime.endpoints.redis_url, runtime.stopping)

    def do(self) -> float | None:
        """Offer what is due; seconds until more is."""
        settings = self.runtime.settings
        repeat = timedelta(seconds=settings.rollcall_offer_seconds)
        with autocommit(self.runtime.engine) as connection:
            seconds = next_due_seconds(connection)  # before: of what becomes due meanwhile, nobody would hear
            offers = offer(connection, *QUEUES, bound=settings.rollcall_in_flight, repeat=repeat)
            WOKEN.update(it.queue for it in offers if not it.again)
            for queue, those in groupby(sorted(offers, key=attrgetter("queue")), attrgetter("queue")):
                self.broker.wake(queue, [message_for(queue, it.actor, it.organisation, it.work) for it in those])
        return None if seconds is None else max(seconds, PACE_SECONDS)
