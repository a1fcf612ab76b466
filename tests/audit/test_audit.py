"""R34: what was done is written down for good, and read by those whom it concerns."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from config.database import enter_tenant_role, scoped, transaction
from config.errors import Forbidden, NotFound
from tasks import audit
from tasks.accounts import Caller, Door, Role
from tasks.acts import auditing, sessions
from tasks.acts.acting import perform
from tasks.acts.auditing import AuditAsked
from tests.accounts.statements import asked_of
from tests.isolation.conftest import Rollcall, rollcall
from tests.isolation.neighbours import OURS, THEIRS, number_of
from tests.world import World

__all__ = ["rollcall"]  # a fixture

ROOT = Caller("root", Door.COMMAND, Role.OPERATOR)
ANN = Caller("ann@acme.example", Door.CONSOLE, Role.ADMIN, frozenset({OURS}), "192.0.2.1")


@pytest.fixture
def written(world: World) -> World:
    """Entries about two organisations and the installation, by two people."""
    world.send(world.event("organisation.saved", {"name": "B", "licence": "seats"}, organisation=THEIRS))
    ours, theirs = number_of(world, OURS), number_of(world, THEIRS)
    for number, caller, entries in (
        (ours, ANN, [("learners.activate", "A"), ("learners.activate", "B"), ("courses.method", "safety")]),
        (theirs, ROOT, [("learners.activate", "C")]),
        (None, ROOT, [("tokens.add", "ci")]),
        (ours, ROOT, [("learners.deactivate", "A")]),
    ):
        said = [audit.AuditEntry(act, subject, {"x": 1}, {"x": 2}) for act, subject in entries]
        with transaction(world.runtime.engine, number) as connection:
            audit.record(connection, number, caller, said)
    return world


def read(world: World, caller: Caller = ROOT, organisation: str | None = OURS, **asked: Any) -> list[str | None]:
    """The subjects of what somebody reads, page by page."""
    what, found = auditing.all_ if organisation is None else auditing.list_, list[str | None]()
    said = AuditAsked(**asked)
    while True:
        page = perform(world.runtime, caller, what, said, organisation)
        assert len(page.items) <= said.limit
        found += [one.subject for one in page.items]
        if page.next is None:
            return found
        said = AuditAsked(**asked, after=page.next)


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_r34_what_was_done_is_read_in_order_page_by_page(written: World, limit: int) -> None:
    assert read(written, limit=limit) == ["A", "B", "safety", "A"]
    assert read(written, ANN, limit=limit) == ["A", "B", "safety", "A"]
    assert read(written, organisation=None, limit=limit) == ["A", "B", "safety", "C", "ci", "A"]


def test_r34_it_is_looked_through_by_who_act_and_time(written: World) -> None:
    assert read(written, who="root") == ["A"]
    assert read(written, act="learners.activate", limit=1) == ["A", "B"]
    assert read(written, act="learners") == ["A", "B", "A"]
    assert read(written, act="learner") == []
    assert read(written, organisation=None, act="learners.activate", who="root") == ["C"]
    (last,) = written.list("SELECT max(at) FROM audit")
    assert read(written, organisation=None, since=last) == ["A"]
    assert read(written, since=last + timedelta(microseconds=1)) == []


def test_r31_an_admin_reads_what_is_about_their_organisation_alone(written: World) -> None:
    with pytest.raises(NotFound):
        read(written, ANN, THEIRS)
    with pytest.raises(Forbidden):
        read(written, ANN, None)
    with pytest.raises(Forbidden):
        read(written, Caller("r", Door.API, Role.READER, frozenset({OURS})))


@pytest.mark.parametrize("statement", ["UPDATE audit SET who = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
@pytest.mark.parametrize("mode", ["origin", "replica"])
def test_r34_nobody_changes_what_was_written(written: World, statement: str, mode: str) -> None:
    before = written.list("SELECT CAST(to_jsonb(a) AS text) FROM audit a ORDER BY 1")
    for people in (False, True):
        number = number_of(written, OURS)
        with written.runtime.engine.connect() as connection, scoped(connection, number):
            connection.execute(text(f"SET LOCAL session_replication_role = {mode}"))
            if people:
                enter_tenant_role(connection, number)
            with pytest.raises(ProgrammingError) as refused:
                connection.execute(text(statement))
            assert isinstance(refused.value.orig, psycopg.errors.InsufficientPrivilege)

    assert written.list("SELECT CAST(to_jsonb(a) AS text) FROM audit a ORDER BY 1") == before


def test_r34_it_is_written_as_lines_and_for_spreadsheets(written: World, rollcall: Rollcall) -> None:
    with transaction(written.runtime.engine) as connection:
        odd = [audit.AuditEntry("learners.activate", '=HYPERLINK("x")')]
        audit.record(connection, None, ROOT, odd)
    lines = [json.loads(line) for line in rollcall("audit").stdout.splitlines()]
    rows = list(csv.reader(io.StringIO(rollcall("audit", "--format", "csv").stdout)))

    assert lines[0] == {
        "id": lines[0]["id"],
        "at": lines[0]["at"],
        "organisation": OURS,
        "who": "ann@acme.example",
        "door": "console",
        "address": "192.0.2.1",
        "act": "learners.activate",
        "subject": "A",
        "before": {"x": 1},
        "after": {"x": 2},
        "outcome": "done",
    }
    assert [line["organisation"] for line in lines] == [OURS, OURS, OURS, THEIRS, None, OURS, None]
    assert rows[0] == list(lines[0])
    assert rows[1][-3:] == ['{"x":1}', '{"x":2}', "done"]
    assert rows[-1][7] == '\'=HYPERLINK("x")'
    assert len(rolled(rollcall, "-o", THEIRS)) == len(rolled(rollcall, "--act", "tokens.add")) == 1
    assert len(rolled(rollcall, "--since", "1h", "--who", "ann@acme.example", "--json")) == 3
    assert rollcall("audit", "--since", "yesterday").exit_code == 2


def rolled(rollcall: Rollcall, *words: str) -> list[str]:
    return rollcall("audit", *words).stdout.splitlines()


def test_r34_a_long_log_is_read_in_pages_by_an_index(written: World) -> None:
    written.execute(
        """
        INSERT INTO audit (organisation, who, door, act, outcome)
        SELECT 1 + n % 2, 'root', 'command', 'learners.activate', 'done' FROM generate_series(1, 5000) n
        """
    )
    with asked_of(written.runtime.engine) as asked:
        assert len(read(written, organisation=None, limit=1000)) == 5006
    pages = [one for one in asked if "FROM audit" in one]
    with written.runtime.engine.connect() as connection:
        connection.execute(text("SET enable_seqscan = off"))
        connection.execute(text("SET enable_sort = off"))
        after = {
            "at": datetime(2026, 1, 1, tzinfo=UTC),
            "id": 0,
            "who": None,
            "act": None,
            "limit": 10,
            "until": None,
            "last": 0,
        }
        plan = " ".join(connection.execute(text(f"EXPLAIN {audit.store._RECORD} WHERE {audit.store._CHOSEN}"
                                                " ORDER BY a.at, a.id LIMIT :limit"), after).scalars())  # fmt: skip

    assert len(pages) == 6
    assert "audit_at" in plan
    assert "Sort  (cost" not in plan, "a Merge Append has a key, and sorts nothing"


def test_r34_a_program_has_no_sessions_to_end_and_nothing_is_written_of_any(world: World) -> None:
    program = Caller("ci", Door.API, Role.ADMIN, frozenset({OURS}))

    ended = perform(world.runtime, program, sessions.end_others, sessions.OtherSessions("0" * 16))

    assert ended.sessions == 0
    assert world.list("SELECT subject FROM audit WHERE act = 'sessions.end_others'") == []
