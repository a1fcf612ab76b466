"""The way to Redis: its client, and the names of what is kept there."""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

IN = "rollcall:in"
OUT = "rollcall:out"
GROUP = "rollcall"

#: Seconds a blocking read may take; below the client's own socket timeout, which would end it as an error.
BLOCK_SECONDS = 2


def in_resp2(url: str) -> str:
    """The URL of a Redis whose answers have the shape that we read; in RESP3 some are maps."""
    place, mark, query = url.partition("?")
    return place + mark + "&".join(one for one in query.split("&") if not one.startswith("protocol="))


def make_redis(url: str) -> redis.Redis:
    """A client whose calls give up after ten seconds instead of hanging; idle connections are checked before use."""
    return redis.Redis.from_url(in_resp2(url), socket_timeout=10, socket_connect_timeout=5, health_check_interval=30)


def make_impatient_redis(url: str, seconds: float) -> redis.Redis:
    """A client for somebody who waits: a call gives up after so many seconds, and is not tried again."""
    return redis.Redis.from_url(
        in_resp2(url), socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0)
    )
