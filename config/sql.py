"""SQL that stands in files of its own: one file for one question, which can be pasted into psql."""

from functools import cache
from pathlib import Path

#: Where the capabilities are.
TASKS = Path(__file__).parents[1] / "tasks"


@cache
def query(name: str) -> str:
    """The statement in `tasks/CAPABILITY/sql/NAME.sql`, by the name `CAPABILITY.NAME`, without its heading. Its
    parameters are written `:name`, as in psql. Raises `FileNotFoundError`."""
    capability, _, file = name.partition(".")
    lines = (TASKS / capability / "sql" / f"{file}.sql").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("--"))
