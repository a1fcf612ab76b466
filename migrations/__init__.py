"""The schema, by Alembic. `bring_up_to_date` is what `rollcall migrate` runs."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from migrations.isolation import RoleRefused, isolate

__all__ = ["RoleRefused", "bring_up_to_date", "current", "head"]

#: Advisory lock held while migrating: of several processes started together one migrates, the others wait.
MIGRATION_LOCK = 7400


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def bring_up_to_date(engine: Engine) -> tuple[str | None, str | None]:
    """Run what is missing, in one transaction, and bring all of it under row security; the revisions before and after.

    Raises `RoleRefused`, and then changes nothing.
    """
    config = _config()
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        before = current(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        isolate(connection)
        return before, current(connection)


def current(connection: Connection) -> str | None:
    """The revision the database is at, or None when it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """The revision this code needs."""
    return ScriptDirectory.from_config(_config()).get_current_head()
