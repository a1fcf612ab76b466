"""PostgreSQL understands each statement; those in files say what they answer, and can be pasted into psql."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError

from config.sql import TASKS, query
from tasks.imports import judging
from tasks.imports.rules import Field
from tests.architecture.statements import BEGINS, in_source, long_texts, statements
from tests.isolation.statements import statements as statements_run
from tests.sources import ROOT, files, text_of
from tests.world import World

FILES = {f"{file.parts[-3]}.{file.stem}": file for file in sorted(TASKS.glob("*/sql/*.sql"))}

#: What stands for a value: `:name`, or `%s` past SQLAlchemy.
PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)|(%s)(?=[),]|$)")

#: What is no statement by itself, is part of none as it is, and why.
ALONE = {
    "tasks.enrolments.enrolling._ENROL_THEM": "filled by CHUNK and LIST: what is made of it is prepared",
    "tasks.enrolments.enrolling._REVIVE_THEM": "filled by CHUNK and LIST",
    "tasks.enrolments.enrolling._WITHDRAW_THEM": "filled for a chunk and for a list",
    "tasks.enrolments.enrolling._ANNOUNCE": "filled with the relation that changed",
    "tasks.enrolments.overtaken._OVERTAKEN": "filled for a chunk and for a list",
    "tasks.enrolments.previews._GROUPS": "filled for rules and for a request",
    "tasks.events.outbox.ENROLMENTS_CHANGED": "filled with the relation that changed",
    "tasks.seats.ledger.stream_ledger": "filled with the query of the entries, which is prepared",
}

#: Lines of SQL that may stand in Python; what is longer stands in a file.
MOST_LINES = 12

#: What is longer and stands in Python, and why: it is put together (docs/decisions/0011-sql-in-files.md).
LONG = {
    "tasks.enrolments.enrolling._ENROL_THEM": "hot: a chunk and a list are one rule with two plans, in one reading",
    "tasks.enrolments.enrolling._REVIVE_THEM": "the same rule of those who were withdrawn",
    "tasks.enrolments.fanouts._RESULT": "what two statements end with, in the outbox, which is of events",
    "tasks.enrolments.overtaken._OVERTAKEN": "a chunk and a list are one rule with two plans",
    "tasks.enrolments.previews._GROUPS": "rules and a request; with the gate's verdict, and what seats charge",
    "tasks.enrolments.surveying._MISSING": "what two statements ask of a rule",
    "tasks.imports.judging.arrange": "makes the table of a session, which no statement can be prepared for",
    "tasks.imports.store.describe_known": "writes learners and their history by fragments of their owner",
    "tasks.mail.ledger.opening._AUDIENCE": "of a mailing, and of an audience that no mailing has yet",
    "tasks.mail.ledger.opening.open_for_enrolled": "with the gate's verdict, which is planned with the rest",
    "tasks.mail.ledger.recipients._COUNTED": "the same",
    "tasks.mail.ledger.retrying.retry_notices": "adds many pieces of work, by the fragment of their owner",
    "tasks.mail.ledger.suppressions._CHOSEN": "what two statements have in common",
}


def asked() -> set[str]:
    """The questions that the sources ask by name."""
    return {name for file in files("tasks") for name in re.findall(r'query\(\s*"([\w.]+)"', text_of(file))}


def numbered(statement: str) -> tuple[dict[str, str], str]:
    """The number of each parameter, and the statement with these, as psycopg passes it on."""
    places: dict[str, str] = {}
    said = PARAMETER.sub(lambda found: places.setdefault(found[1] or found[2], f"${len(places) + 1}"), statement)
    return places, said.replace("%", "%%")


def problem_with(connection: Connection, statement: str) -> str | None:
    """What PostgreSQL says against a statement when it is to prepare it."""
    places, said = numbered(statement)
    attempt = connection.begin_nested()
    try:
        connection.exec_driver_sql(f"PREPARE asked AS {said}")
        nothing = f"({', '.join(['NULL'] * len(places))})" if places else ""
        # What ON CONFLICT names is looked for by the planner.
        connection.exec_driver_sql(f"EXPLAIN EXECUTE asked{nothing}")
    except ProgrammingError as problem:
        return str(problem.orig)
    finally:
        attempt.rollback()
        if connection.exec_driver_sql("SELECT FROM pg_prepared_statements WHERE name = 'asked'").first() is not None:
            connection.exec_driver_sql("DEALLOCATE asked")
    return None


@pytest.fixture
def connection(world: World) -> Iterator[Connection]:
    """A connection with the table that an import makes for itself."""
    world.has_organisation()
    with world.about() as (connection, organisation):
        judging.stage(connection, [], [Field.LEARNER], [])
        judging.arrange(connection, organisation.organisation, [], keep_empty=False)
        yield connection


def test_each_file_is_asked_and_each_question_has_a_file() -> None:
    assert asked() == FILES.keys()
    assert len(FILES) > 60


@pytest.mark.parametrize("name", FILES)
def test_each_file_says_first_what_it_answers(name: str) -> None:
    heading, _, statement = FILES[name].read_text(encoding="utf-8").partition("\n")

    assert re.fullmatch(r"-- [A-Z].+", heading)
    assert not re.search(r"\{\w", statement), "nothing is spliced into it"
    assert query(name).split(maxsplit=1)[0] in {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}


def test_long_sql_stands_in_files() -> None:
    assert long_texts(MOST_LINES) == {*LONG}, "put it into a file, or say why it cannot be one; take off what is one"


def test_postgresql_understands_each_file_as_it_stands(connection: Connection) -> None:
    for name in FILES:
        rows = f"WITH r AS ({query(name.removesuffix('_cells'))}) " if name.endswith("_cells") else ""
        assert problem_with(connection, rows + query(name)) is None, name


def test_postgresql_understands_each_statement_of_the_sources(connection: Connection) -> None:
    in_sources = [found for found in statements() if ".sql." not in found.module]
    texts = {found.text: f"{found.module}.{found.name}" for found in in_sources if found.text is not None}
    texts |= {run.text: run.function for run in statements_run() if BEGINS.match(run.text)}
    problems = {text: problem for text in texts if (problem := problem_with(connection, text)) is not None}
    whole = [text for text in texts if text not in problems]
    left = {texts[text]: problem for text, problem in problems.items() if not any(text.strip() in one for one in whole)}

    assert len(whole) > 340
    assert {name: problem for name, problem in left.items() if name not in ALONE} == {}
    assert {*ALONE} - {*left} == set(), "take these off the list"


#: What is decided for each row: as a part of the plan it costs nothing, as a call more than all that it decides.
DECIDES = re.compile(r"\b(mail_verdict|gives_access|is_admin|same_month|in_months)\(")


def test_what_is_decided_for_each_row_is_a_part_of_the_plan(connection: Connection) -> None:
    """PostgreSQL calls a function of SQL, and for each row, if an argument that it names twice holds a subquery."""
    texts = {query(name) for name in FILES}
    texts |= {found.text for found in statements() if found.text is not None}
    texts |= {run.text for run in statements_run() if BEGINS.match(run.text)}
    decide = [text for text in texts if DECIDES.search(text) and problem_with(connection, text) is None]
    called = {text: found for text in decide if (found := {*DECIDES.findall(plan(connection, text))})}

    assert len(decide) > 30
    assert called == {}


def plan(connection: Connection, statement: str) -> str:
    """How PostgreSQL would do it, whatever its parameters are, with what it computes for each row."""
    return "\n".join(connection.exec_driver_sql(f"EXPLAIN (VERBOSE, GENERIC_PLAN) {numbered(statement)[1]}").scalars())


def test_r15_the_gate_looks_at_no_month_of_attempts_of_who_has_none(connection: Connection) -> None:
    said = plan(connection, query("mail.at_the_gate"))

    assert len(re.findall(r"Scan.* on \S*attempts_", said)) > 1, "a partition each"
    assert said.count("One-Time Filter") == 1, "before all of them, and not in each"


def test_what_cannot_be_read_is_read_where_it_is_run() -> None:
    unread = {f"{found.module}.{found.name}" for found in statements() if found.text is None}

    assert unread <= {run.function for run in statements_run()}


#: Tables that benches make for themselves, or read in other programs' databases.
OF_BENCHES = re.compile(r"\b(plain|recipients|inserted|post_office_email)\b")


def test_postgresql_understands_each_statement_of_the_benches(connection: Connection) -> None:
    """Nobody runs them for months, and the schema changes; a peer whose statement fails stands still."""
    problems: dict[str, str] = {}
    whole = 0
    for path in sorted(path for path in (ROOT / "bench").rglob("*.py") if "peers" not in path.parts):
        for found in in_source(path):
            for statement in (found.text or "").split(";"):
                if not BEGINS.match(statement) or OF_BENCHES.search(statement) or re.search(r"\{\w*\}", statement):
                    continue
                named = re.sub(r"%s(?= )", ":value", re.sub(r"%\((\w+)\)s", r":\1", statement))
                problem = problem_with(connection, named.replace("%%", "%"))
                problems |= {f"{found.module}.{found.name}": problem} if problem else {}
                whole += not problem

    assert problems == {}
    assert whole > 40


#: Modules that name a column which no table has.
MISSPELT = (
    'ASKED = "SELECT stnding FROM learners"',
    'def f(c):\n    return value(c, f"SELECT {COLUMN} FROM learners")\nCOLUMN = "stnding"',
    'PART = "stnding"\nASKED = "SELECT {} FROM learners".format(PART)',
    'def f(c):\n    c.execute("""\n        UPDATE learners SET """ + "stnding = %s")',
)


def test_a_misspelt_column_is_found(connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for n, code in enumerate(MISSPELT):
        (tmp_path / f"misspelt{n}.py").write_text(code, encoding="utf-8")
        [found] = in_source(tmp_path / f"misspelt{n}.py", tmp_path)

        assert found.text is not None
        assert 'column "stnding"' in (problem_with(connection, found.text) or "")
