"""SQL that stands in files: each says what it answers, is asked, and can be pasted into psql."""

import re
from pathlib import Path

import pytest

from config.sql import TASKS, query
from tests.architecture.writes import ROOT
from tests.world import World

FILES = {f"{file.parts[-3]}.{file.stem}": file for file in sorted(TASKS.glob("*/sql/*.sql"))}
PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")


def asked() -> set[str]:
    """The questions that the sources ask by name."""
    sources = (path.read_text(encoding="utf-8") for path in Path(ROOT).glob("tasks/**/*.py"))
    return {name for source in sources for name in re.findall(r'query\(\s*"([\w.]+)"', source)}


def test_each_file_is_asked_and_each_question_has_a_file() -> None:
    assert asked() == FILES.keys()
    assert len(FILES) > 40


@pytest.mark.parametrize("name", FILES)
def test_each_file_says_first_what_it_answers(name: str) -> None:
    heading, _, statement = FILES[name].read_text(encoding="utf-8").partition("\n")

    assert re.fullmatch(r"-- [A-Z].+", heading)
    assert "{" not in statement, "nothing is spliced into it"
    assert query(name).split(maxsplit=1)[0] in {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}


def test_postgresql_understands_each_as_it_stands(world: World) -> None:
    for name in FILES:
        statement = query(name)
        if "import_rows" in statement:
            continue  # of a table that only an import's own transaction has
        places = {parameter: f"${n}" for n, parameter in enumerate(dict.fromkeys(PARAMETER.findall(statement)), 1)}
        numbered = PARAMETER.sub(lambda found, places=places: places[found[1]], statement)  # type: ignore[misc]
        with world.runtime.engine.connect() as connection:
            connection.exec_driver_sql(f"PREPARE asked AS {numbered}".replace("%", "%%"))
            connection.exec_driver_sql("DEALLOCATE asked")
