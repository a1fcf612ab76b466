"""The schema, by Alembic, which takes 8 MB and is loaded only to migrate. `bring_up_to_date` is what `rollcall migrate`
runs.

Old code and new work side by side while processes are replaced. So each revision says the `oldest` code that can work
with it, by the revision that this code knows; one that says nothing fits its own code alone. docs/migrations.md has the
rules for a new one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, text
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from config.database import is_locked
from config.errors import UserError
from config.locks import MIGRATION_LOCK
from config.pooler import session_engine
from migrations.isolation import RoleRefused, isolate

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

__all__ = ["LockTaken", "NotAllowed", "RoleRefused", "bring_up_to_date", "current", "head", "misfit"]

#: Seconds for which a revision waits for a lock, while whoever needs the table waits behind it; then it is taken back,
#: and tried again after as long, so many times.
LOCK_SECONDS, MOST_TRIES = 3, 100


class NotAllowed(UserError):
    """The database's user may not do what is needed; the message says what, and who can allow it."""


class LockTaken(UserError):
    """A table was in use for too long; what was migrated until then is whole."""


def bring_up_to_date(
    engine: Engine, waits: Callable[[str], None] = lambda _: None, *, seconds: float = LOCK_SECONDS
) -> tuple[str | None, str | None]:
    """Run what is missing, each revision in a transaction, and bring all of it under row security; the revisions before
    and after. A schema that is ahead of this code stays as it is.

    No table is locked for longer than a revision that has all its locks takes: one that has to wait for a lock for more
    than so many `seconds` is taken back and tried again, and `waits` is told what it waits for.

    Raises `RoleRefused` or `NotAllowed`, and then changes nothing; and `LockTaken`.
    """
    with session_engine(engine).connect() as connection, _alone(connection):
        before = current(connection)
        if before != head():
            _check_rights(connection)
        connection.rollback()
        missing: list[str | None] = [revision for revision in _revisions() if before is None or revision > before]
        if before is None:
            missing = missing[-1:]  # in one transaction: nobody uses it yet
        if before is None or before <= head():
            for revision in missing or [None]:
                if before is not None and revision is not None:
                    _build(connection, revision)
                _run(connection, revision, waits, seconds)
        return before, current(connection)


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Be the only one to migrate, across transactions."""
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": MIGRATION_LOCK})
        connection.commit()


def _run(connection: Connection, to: str | None, waits: Callable[[str], None], seconds: float) -> None:
    """Go `to` a revision, if one is given, and bring what is there under row security, in one transaction, as often as
    it takes to get its locks."""

    def said(state: RetryCallState) -> None:
        waits(f"{to or 'row security'} waits for a lock: try {state.attempt_number} of {MOST_TRIES}")

    retrying = Retrying(
        retry=retry_if_exception(is_locked),
        stop=stop_after_attempt(MOST_TRIES),
        wait=wait_fixed(seconds),
        before_sleep=said,
        reraise=True,
    )
    try:
        for attempt in retrying:
            with attempt, connection.begin():
                connection.execute(text(f"SET LOCAL lock_timeout = {seconds * 1000:.0f}"))
                if to is not None:
                    _upgrade(connection, to)
                isolate(connection)
    except Exception as problem:
        if not is_locked(problem):
            raise
        raise LockTaken(
            f"Somebody held a lock on a table for all of {MOST_TRIES} tries, each {seconds:g} s long: see"
            " pg_stat_activity for a transaction that is not ended; then run rollcall migrate again."
        ) from None


def _upgrade(connection: Connection, revision: str) -> None:
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415 - 8 MB that only migrating needs

    found, script = config(), _script()
    found.attributes["connection"] = connection
    with EnvironmentContext(
        found, script, fn=lambda at, _: script._upgrade_revs(revision, at), destination_rev=revision
    ):
        script.run_env()
    if connection.scalar(text(_SAYS_OLDEST)):
        connection.execute(text("UPDATE alembic_version SET oldest = :oldest"), {"oldest": oldest(revision)})


def _build(connection: Connection, revision: str) -> None:
    """Build the indexes that a revision names, while everybody works."""
    from migrations import indexes  # noqa: PLC0415

    indexes.build(connection, getattr(_script().get_revision(revision).module, "indexes", {}))


@cache
def _script() -> "ScriptDirectory":
    """The revisions, which Alembic runs each of to know them: `alembic.command` does so anew each time."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    return ScriptDirectory.from_config(config())


def config() -> "Config":
    """Where Alembic finds the revisions."""
    from alembic.config import Config  # noqa: PLC0415

    found = Config()
    found.set_main_option("script_location", str(Path(__file__).parent))
    return found


def oldest(revision: str) -> str:
    """The oldest code that can work with the schema at a revision, by the revision that this code knows."""
    run = _script().iterate_revisions(revision, "base")
    return str(max(getattr(one.module, "oldest", one.revision) for one in run))


#: Whether the table that says where a schema is also says which code fits it.
_SAYS_OLDEST = """
    SELECT EXISTS (SELECT FROM pg_attribute
                   WHERE attrelid = to_regclass('alembic_version') AND attname = 'oldest' AND NOT attisdropped)
"""


def misfit(connection: Connection) -> str | None:
    """Why this code cannot work with the schema, and what to do; None where it can."""
    at, known = current(connection), head()
    if at == known:
        return None
    if at is None or at < known:
        return f"The database is at schema {at or 'none'}, this code needs {known}: run rollcall migrate."
    fits = connection.scalar(text(_SAYS_OLDEST)) and connection.scalar(text("SELECT oldest FROM alembic_version"))
    if fits and fits <= known:
        return None
    return (
        f"The database is at schema {at}, of a newer Rollcall, and this one knows {known} and cannot work with it:"
        " install the newer one."
    )


def current(connection: Connection) -> str | None:
    """The revision the database is at, or None when it is empty."""
    if connection.scalar(text("SELECT to_regclass('alembic_version') IS NULL")):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def head() -> str:
    """The revision this code knows: that of the last file, whose name begins with it."""
    return _revisions()[-1]


@cache
def _revisions() -> tuple[str, ...]:
    """Every revision, the first first."""
    files = (Path(__file__).parent / "versions").glob("[0-9]*_*.py")
    return tuple(sorted(file.stem.partition("_")[0] for file in files))


def _check_rights(connection: Connection) -> None:
    """Raises `NotAllowed` where no table could be made; PostgreSQL 15 and newer let the owner of a database alone."""
    user, schema, allowed = connection.execute(
        text("SELECT current_user, current_schema(), has_schema_privilege(current_schema(), 'CREATE')")
    ).one()
    if not allowed:
        place = f"the schema {schema}" if schema else "any schema of its search_path"
        raise NotAllowed(
            f"DATABASE_URL: its user {user} may not make tables in {place}: let the owner of the database"
            f' GRANT USAGE, CREATE ON SCHEMA {schema or "…"} TO "{user}".'
        )
