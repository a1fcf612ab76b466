"""The schema, by Alembic, which takes 8 MB and is loaded only to migrate. `bring_up_to_date` is what `rollcall migrate`
runs."""

from pathlib import Path

from sqlalchemy import Connection, Engine, text

from config.errors import UserError
from migrations.isolation import RoleRefused, isolate

__all__ = ["RoleRefused", "bring_up_to_date", "current", "head"]

#: Advisory lock held while migrating: of several processes started together one migrates, the others wait.
MIGRATION_LOCK = 7400


class NotAllowed(UserError):
    """The database's user may not do what is needed; the message says what, and who can allow it."""


def bring_up_to_date(engine: Engine) -> tuple[str | None, str | None]:
    """Run what is missing, in one transaction, and bring all of it under row security; the revisions before and after.

    Raises `RoleRefused` or `NotAllowed`, and then changes nothing.
    """
    from alembic import command  # noqa: PLC0415 - 8 MB that only migrating needs
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        before = current(connection)
        if before != head():
            _check_rights(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        isolate(connection)
        return before, current(connection)


def current(connection: Connection) -> str | None:
    """The revision the database is at, or None when it is empty."""
    if connection.scalar(text("SELECT to_regclass('alembic_version') IS NULL")):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def head() -> str:
    """The revision this code needs: that of the last file, whose name begins with it."""
    return max(file.stem.partition("_")[0] for file in (Path(__file__).parent / "versions").glob("[0-9]*_*.py"))


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
