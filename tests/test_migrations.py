"""A database at an older revision, with something in every table, is brought up to date: nothing is lost, and what was
there means the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.command import downgrade, upgrade
from alembic.script import ScriptDirectory
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import Engine

import migrations
from config.embedded import Embedded
from config.engine import make_engine
from migrations import indexes
from tests import older
from tests.conftest import WORKER
from tests.databases import TEMPLATE, database_named
from tests.world import World, id_of

#: Every revision, the oldest first.
REVISIONS = sorted(path.name[:4] for path in (Path(migrations.__file__).parent / "versions").glob("[0-9]*_*.py"))

DAY = datetime(2026, 2, 1, tzinfo=UTC)


@contextmanager
def database_at(servers: Embedded, revision: str) -> Iterator[str]:
    """The URL of a database at a revision, with nothing in it."""
    name = sql.Identifier(f"older_{WORKER}_{revision}")
    template = sql.Identifier(TEMPLATE if revision == REVISIONS[-1] else "template0")
    assert servers.database_url is not None
    with psycopg.connect(servers.database_url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(name, template))
        url = database_named(servers, f"older_{WORKER}_{revision}")
        engine = make_engine(url, role="test")
        older.move(engine, upgrade, revision)
        engine.dispose()
        try:
            yield url
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@contextmanager
def opened(url: str) -> Iterator[tuple[Engine, psycopg.Connection[Any]]]:
    engine = make_engine(url, role="test")
    with psycopg.connect(url, autocommit=True) as connection:
        yield engine, connection
    engine.dispose()


@pytest.mark.parametrize(
    "revision",
    ["0001", *(pytest.param(revision, marks=pytest.mark.slow) for revision in ("0010", "0020")), REVISIONS[-2]],
)
def test_r33_what_was_written_at_an_older_revision_is_there_at_the_newest(servers: Embedded, revision: str) -> None:
    with database_at(servers, revision) as url, opened(url) as (engine, connection):
        older.fill(connection, inbox={"waits_for": "learner:1:A"} if revision < "0028" else {})
        before = older.rows(connection)
        assert [table for table, rows in before.items() if not rows] == []

        assert migrations.bring_up_to_date(engine) == (revision, REVISIONS[-1])

        after = older.rows(connection)
    assert before.keys() <= after.keys()
    awaited = {"awaits": "learner", "awaits_organisation": 1, "awaits_id": "A"}
    for table, rows in before.items():
        for row in rows:
            said = row | awaited if row.pop("waits_for", None) else row  # what is kept otherwise by now
            kept = [{column: value for column, value in found.items() if column in said} for found in after[table]]
            assert said in kept, table


#: What an organisation had: a course for everyone, which an active learner started, and paid.
STARTED: dict[str, older.Row] = {
    "organisations": {"id": "acme", "licence": "credits", "pool": 10, "licence_starts": None, "licence_ends": None},
    "learners": {"id": "A", "standing": "active", "email": "a@acme.example", "saved_at": DAY},
    "status_changes": {"active": True},
    "courses": {"id": "safety", "method": "everyone", "cost": 3, "on_hold": False},
    "enrolments": {"cycle": 1, "started_at": DAY, "withdrawn_at": None, "withdrawn_by": None},
    "withdrawals": {"cycle": 1, "occurred_at": DAY.replace(month=1)},
    "consumptions": {"cycle": 1, "unit": "credit", "amount": 3, "occurred_at": DAY, "overdrawn": False},
    "inbox": {"state": "discarded", "body": None, "waits_for": None},
    "outbox": {"type": "rollcall.access.suspended", "data": Jsonb({"learner": "A"})},
    "work": {"state": "held"},
}


class TestAtTheFirstRevision:
    """What an organisation had when there was but one revision, used at the newest."""

    @pytest.fixture
    def database_url(self, servers: Embedded) -> Iterator[str]:
        with database_at(servers, "0001") as url:
            with opened(url) as (engine, connection):
                older.fill(connection, **STARTED)
                migrations.bring_up_to_date(engine)
            yield url

    def test_r03_r10_r26_r27_what_was_known_and_paid_for_then_means_the_same_now(self, empty_world: World) -> None:
        world = empty_world
        [entry] = world.ledger()
        assert (entry.learner, entry.course, entry.amount, entry.occurred_at) == ("A", "safety", 3, DAY)
        assert world.access("A") == {"safety"}

        world.starts("A", "safety", at=DAY.replace(day=2))
        assert world.ledger() == [entry], "it was paid for"

        world.has_course("safety", "manual", cost=3)
        world.settle()
        assert world.access("A") == {"safety"}, "no rule withdraws what was started"
        assert world.enrolments("A")["safety"].started_at == DAY

        world.becomes("inactive", "A", at=DAY.replace(day=3))
        start = world.starts("A", "safety", at=DAY.replace(day=4))
        assert world.access("A") == set()
        assert world.quarantine()[id_of(start)].reason == "learner inactive"


def test_the_way_back_works_or_is_refused_with_what_to_do_and_changes_nothing(servers: Embedded) -> None:
    with database_at(servers, REVISIONS[-1]) as url, opened(url) as (engine, connection):
        older.fill(connection)
        refused, at = "", len(REVISIONS) - 1
        while not refused:
            before = older.rows(connection)
            try:
                older.move(engine, downgrade, REVISIONS[at - 1])
                at -= 1
            except RuntimeError as problem:
                refused = str(problem)

        assert refused.endswith(": drop the database")
        assert older.rows(connection) == before
        assert migrations.bring_up_to_date(engine) == (REVISIONS[at], REVISIONS[-1])


def test_a_revision_that_waits_for_a_lock_is_taken_back_says_so_and_is_tried_again(servers: Embedded) -> None:
    with database_at(servers, "0037") as url, opened(url) as (engine, connection), psycopg.connect(url) as reader:
        reader.execute("SELECT FROM alembic_version")
        said: list[str] = []

        def waits(what: str) -> None:
            said.append(what)
            connection.execute("SELECT FROM alembic_version")  # nobody waits behind it meanwhile
            reader.rollback()

        assert migrations.bring_up_to_date(engine, waits, seconds=0.1) == ("0037", REVISIONS[-1])
        assert said[0].startswith("0038 waits for a lock")


def test_a_lock_that_nobody_lets_go_of_is_said_and_what_was_migrated_stays(
    servers: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "MOST_TRIES", 2)
    with database_at(servers, "0036") as url, opened(url) as (engine, connection), psycopg.connect(url) as reader:

        def waits(_what: str) -> None:
            reader.execute("SELECT FROM alembic_version")

        connection.execute("BEGIN; SELECT FROM work")
        with pytest.raises(migrations.LockTaken, match="pg_stat_activity"):
            migrations.bring_up_to_date(engine, seconds=0.05)
        connection.rollback()
        with engine.connect() as one:
            assert migrations.current(one) == "0036"

        reader.execute("SELECT FROM alembic_version")
        with pytest.raises(migrations.LockTaken):
            migrations.bring_up_to_date(engine, waits, seconds=0.05)
        reader.rollback()
        with engine.connect() as one:
            assert migrations.current(one) == "0037"
        assert migrations.bring_up_to_date(engine) == ("0037", REVISIONS[-1])


def test_an_index_is_built_while_others_write_and_what_was_left_unfinished_is_built_anew(servers: Embedded) -> None:
    with database_at(servers, REVISIONS[-1]) as url, opened(url) as (engine, connection):
        older.fill(connection)
        connection.execute("INSERT INTO mail_pulses SELECT 1000 + n FROM generate_series(1, 2) n")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("CREATE UNIQUE INDEX CONCURRENTLY pulses_by_n ON mail_pulses (n)")
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('pulses_by_n')"
        assert connection.execute(valid).fetchone() == (False,)
        written = "SELECT state FROM work FOR UPDATE"

        with psycopg.connect(url) as writer, engine.connect() as one:
            writer.execute(written)
            indexes.build(one, {"pulses_by_n": "ON mail_pulses (n)", "other": "ON mail_pulses (shard, n)"})
            indexes.build(one, {"pulses_by_n": "ON no_such_table (n)"})

        assert connection.execute(valid).fetchone() == (True,)


#: The schema of a newer Rollcall: the oldest code that fits it, and what is said by this one.
NEWER = {
    REVISIONS[-1]: None,
    "0038": None,
    "9998": "of a newer Rollcall",
    None: "of a newer Rollcall",
}


@pytest.mark.parametrize(("oldest", "said"), NEWER.items())
def test_a_newer_schema_that_this_code_fits_is_worked_with_and_another_refused(
    servers: Embedded, oldest: str | None, said: str | None
) -> None:
    with database_at(servers, REVISIONS[-1]) as url, opened(url) as (engine, connection):
        connection.execute("UPDATE alembic_version SET version_num = '9999', oldest = %s", (oldest,))

        assert migrations.bring_up_to_date(engine) == ("9999", "9999"), "it is left as it is"
        with engine.connect() as one:
            misfit = migrations.misfit(one)
        assert said in misfit if said and misfit else misfit is said


def test_each_revision_says_since_two_versions_work_side_by_side_which_code_fits_it() -> None:
    scripts = {one.revision: one.module for one in ScriptDirectory.from_config(migrations.config()).walk_revisions()}
    unsaid = [revision for revision, module in scripts.items() if revision >= "0038" and not hasattr(module, "oldest")]

    assert unsaid == []
    assert all(getattr(module, "oldest", revision) <= revision for revision, module in scripts.items())
    assert migrations.oldest(REVISIONS[-1]) >= "0037"


#: What events wait for, as it was written down, and as it is.
AWAITED = {
    "organisation:a:b": ("organisation", 0, "a:b", None, None, None),
    "learner:7:A": ("learner", 7, "A", None, None, None),
    "course:7:1:2": ("course", 7, "1:2", None, None, None),
    "segment:7:line\nfeed:": ("segment", 7, "line\nfeed:", None, None, None),
    "enrolment:7:1:2:3": ("enrolment", 7, None, 1, 2, 3),
    "status:7:3": ("status", 7, None, None, None, 3),
    "turn:7:": ("turn", 7, None, None, None, None),
}


def test_r06_what_events_wait_for_is_the_same_on_the_way_there_and_back(servers: Embedded) -> None:
    keys = "SELECT waits_for FROM inbox ORDER BY seq"
    with database_at(servers, "0027") as url, opened(url) as (engine, connection):
        for n, key in enumerate((*AWAITED, None)):
            connection.execute(
                "INSERT INTO inbox (source, id, type, organisation, state, waits_for) VALUES"
                " ('s', %s, 't', 'acme', 'waiting', %s)",
                (str(n), key),
            )
        older.move(engine, upgrade, "0028")
        found = connection.execute(
            "SELECT awaits, awaits_organisation, awaits_id, awaits_course, awaits_cycle, awaits_learner"
            " FROM inbox ORDER BY seq"
        ).fetchall()
        assert found == [*AWAITED.values(), (None,) * 6]

        older.move(engine, downgrade, "0027")
        assert [key for (key,) in connection.execute(keys)] == [*AWAITED, None]


#: A warning of seats, an announcement with its audience, and a notice of enrolment with neither.
MAILINGS: dict[str, older.Row] = {
    "seats": {"unit": "credit", "used": 8, "pool": 10},
    "announcement": {"everyone": True},
    "enrolment": {},
}


def test_r28_the_figures_of_a_warning_are_the_same_on_the_way_there_and_back(servers: Embedded) -> None:
    with database_at(servers, "0025") as url, opened(url) as (engine, connection):
        for kind, audience in MAILINGS.items():
            connection.execute(
                "INSERT INTO mailings (organisation, kind, source, id, state, policy, audience)"
                " VALUES (1, %s, 's', %s, 'finished', 'resend', %s)",
                (kind, kind, Jsonb(audience)),
            )
        before = older.rows(connection)["mailings"]

        older.move(engine, upgrade, "0026")
        found = {row["kind"]: (row["figures"], row["audience"]) for row in older.rows(connection)["mailings"]}
        assert found == {
            "seats": (MAILINGS["seats"], {}),
            "announcement": (None, MAILINGS["announcement"]),
            "enrolment": (None, {}),
        }

        older.move(engine, downgrade, "0025")
        assert sorted(older.rows(connection)["mailings"], key=repr) == sorted(before, key=repr)
