"""The way to Redis: its client, and the names of what is kept there."""

import redis

IN = "rollcall:in"
OUT = "rollcall:out"
GROUP = "rollcall"

#: Seconds a blocking read may take; below the client's own socket timeout, which would end it as an error.
BLOCK_SECONDS = 2


def make_redis(url: str) -> redis.Redis:
    """A client whose calls give up after ten seconds instead of hanging; idle connections are checked before use."""
    return redis.Redis.from_url(url, socket_timeout=10, socket_connect_timeout=5, health_check_interval=30)
