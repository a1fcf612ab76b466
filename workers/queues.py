"""The broker and its queues: one for each latency class, so that a million announcements hold up no notice (R31)."""

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from config.streams import make_redis

#: `tasks` fans out, `mail` carries what somebody waits for, `bulk` carries announcements.
QUEUES = ("tasks", "mail", "bulk")


def make_broker(redis_url: str) -> RedisBroker:
    """The broker, with none of dramatiq's retries or time limits: the table of work knows what is to be done again."""
    broker = RedisBroker(  # type: ignore[no-untyped-call]
        client=make_redis(redis_url), middleware=[], namespace="rollcall:queue"
    )
    for queue in QUEUES:
        broker.declare_queue(queue)
    dramatiq.set_broker(broker)
    return broker
