"""Advisory locks: each has a number of its own."""

import re
from pathlib import Path

from config import locks

#: The folders in which a lock may be taken.
FOLDERS = ("config", "tasks", "workers", "migrations")

#: A number given to a lock, or said where one is taken.
NUMBERED = re.compile(r"^\w*_LOCK\b.* = .*\d|pg_(?:try_)?advisory_\w+\(\d+\b", re.MULTILINE)

#: In a migration, which can name no constant: the class of ids that nobody has yet.
IN_SQL = ["pg_advisory_xact_lock(7402"]


def test_no_two_advisory_locks_have_a_number_in_common() -> None:
    numbers = [number for name, number in vars(locks).items() if name.endswith("_LOCK")]
    assert len(numbers) >= 10
    assert len({*numbers}) == len(numbers)


def test_the_numbers_of_all_advisory_locks_stand_in_one_place() -> None:
    files = [file for folder in FOLDERS for end in ("py", "sql") for file in Path(folder).rglob(f"*.{end}")]
    found = [said for file in files if file != Path("config/locks.py") for said in NUMBERED.findall(file.read_text())]
    assert found == IN_SQL
    assert locks.LEADER_LOCK == 7402, "with one key, which PostgreSQL keeps apart from two"
