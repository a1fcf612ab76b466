"""`python -m migrations.rendering`: the SQL of the revisions since two versions work side by side, for a linter."""

from alembic import command

from migrations import config

#: The last revision that is not looked at: those up to it were written before there was a rule.
BEFORE = "0037"


def main() -> None:
    """Write it."""
    command.upgrade(config(), f"{BEFORE}:head", sql=True)


if __name__ == "__main__":
    main()
