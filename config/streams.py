"""The way to Redis: its client, and the names of what is kept there."""

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from config.urls import Sentinels

IN = "rollcall:in"
OUT = "rollcall:out"
GROUP = "rollcall"

#: A connection does not say which library it is: to find out, and two round trips to say it, is most of what it costs.
NAMELESS: dict[str, Any] = {"driver_info": None}

#: Seconds a blocking read may take; below the client's own socket timeout, which would end it as an error.
BLOCK_SECONDS = 2


def in_resp2(url: str) -> str:
    """The URL of a Redis whose answers have the shape that we read; in RESP3 some are maps."""
    place, mark, query = url.partition("?")
    return place + mark + "&".join(one for one in query.split("&") if not one.startswith("protocol="))


def connect(url: str, **limits: Any) -> redis.Redis:
    """A client of the Redis at a URL, or of the primary that its sentinels name: each connection asks them anew.
    `limits` are options of the client, which the URL may say otherwise."""
    sentinels = Sentinels.parse(url)
    if sentinels is None:
        return redis.Redis.from_url(in_resp2(url), **NAMELESS, **limits)
    options = NAMELESS | limits | parse_url(in_resp2(sentinels.server))  # type: ignore[no-untyped-call] # redis-py has no types here
    secure = options.pop("connection_class", None) is redis.SSLConnection
    shared = {name: value for name, value in options.items() if name.startswith(("socket_", "ssl_"))}
    asking = Sentinel(  # type: ignore[no-untyped-call] # the same
        sentinels.hosts,
        sentinel_kwargs={
            **NAMELESS,
            **shared,
            "ssl": secure,
            "username": sentinels.user,
            "password": sentinels.password,
            "retry": Retry(NoBackoff(), 0),
        },
        ssl=secure,
        **{name: value for name, value in options.items() if name not in {"host", "port"}},
    )
    found: redis.Redis = asking.master_for(sentinels.group)  # type: ignore[no-untyped-call] # the same
    return found


def make_redis(url: str) -> redis.Redis:
    """A client whose calls give up after ten seconds instead of hanging; idle connections are checked before use."""
    return connect(url, socket_timeout=10, socket_connect_timeout=5, health_check_interval=30)


def make_impatient_redis(url: str, seconds: float) -> redis.Redis:
    """A client for somebody who waits: a call gives up after so many seconds, and is not tried again."""
    return connect(url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0))
