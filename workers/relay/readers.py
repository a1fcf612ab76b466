"""Remembers how far every group that reads a stream has come, and trims both streams behind all of them."""

from config.database import autocommit
from config.runtime import Runtime
from config.streams import IN, OUT, make_redis
from tasks import events, system
from workers.relay.chore import Chore


class WatchReaders(Chore):
    """Watches the groups that read the streams."""

    name = "readers"
    seconds = 5.0
    needs_redis = True

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self._redis = make_redis(runtime.endpoints.redis_url)

    def do(self) -> None:
        """Remember, and trim."""
        with autocommit(self.runtime.engine) as connection:
            state = events.publication(connection)
            for name in (IN, OUT):
                stream = system.observe(self._redis, name)
                if name == OUT:
                    system.remember(connection, stream, state)
                system.trim(self._redis, name, stream)
