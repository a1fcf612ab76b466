"""A backup of a test's database, and what an operator does with it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from tests.world import World


@dataclass
class Backup:
    """The database as it was once; a copy by the server, which is what a dump is, too, and quicker. `tests/chaos` does
    the same with pg_dump and pg_restore."""

    world: World
    _gone: int = 0

    def take(self) -> None:
        """Keep the database as it is now."""
        self._copy(self._name, self._kept)

    def restore(self, *, keep: bool = False) -> None:
        """Put it in the place of the database as it has become; and `keep` it, to do so again."""
        self.world.runtime.engine.dispose()
        self._gone += 1
        self._do(sql.SQL("ALTER DATABASE {} RENAME TO {}"), self._name, f"{self._name}_{self._gone}")
        if keep:
            self._copy(self._kept, self._name)
        else:
            self._do(sql.SQL("ALTER DATABASE {} RENAME TO {}"), self._kept, self._name)

    def forget(self) -> None:
        """Leave nothing behind."""
        for name in (self._kept, *(f"{self._name}_{n + 1}" for n in range(self._gone))):
            self._do(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)"), name)

    @property
    def _name(self) -> str:
        return urlsplit(self._url).path.removeprefix("/")

    @property
    def _kept(self) -> str:
        return f"{self._name}_backup"

    @property
    def _url(self) -> str:
        return self.world.runtime.endpoints.database_url

    def _copy(self, source: str, target: str) -> None:
        self.world.runtime.engine.dispose()
        self._do(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY"), target, source)

    def _do(self, statement: sql.SQL, *names: str) -> None:
        with psycopg.connect(self._url.replace(f"/{self._name}?", "/rollcall?"), autocommit=True) as connection:
            connection.execute(statement.format(*map(sql.Identifier, names)))
