"""The ids of events in lie in periods: one that came is known for its days, whatever begins meanwhile and whichever
version took it, and goes with its period; R32, R35."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeAlias

import psycopg
import pytest
from alembic.command import downgrade, upgrade
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

import migrations
from config.database import transaction
from config.embedded import Embedded
from tasks import retention
from tasks.events import claim_new_events, decode
from tasks.system.flows import positions
from tests import older
from tests.retention.months import keep
from tests.test_migrations import REVISIONS, database_at, opened
from tests.world import World
from workers.relay.retention import AGAIN_SECONDS

Session: TypeAlias = psycopg.Connection[Any]

#: How this version claims an event, and how 0.1.0 does, which knows nothing of `arrivals`.
NEW = "SELECT seq FROM claim_events(ARRAY['s'], ARRAY[%(id)s], ARRAY['acme'])"
OLD = """
    INSERT INTO inbox (source, id, type, organisation, state)
    SELECT source, id, type, organisation, 'applied'
    FROM unnest(CAST(ARRAY['s'] AS text[]), CAST(ARRAY[%(id)s] AS text[]), CAST(ARRAY['t'] AS text[]),
                CAST(ARRAY['acme'] AS text[])) AS new (source, id, type, organisation)
    ON CONFLICT (source, id, organisation) WHERE reason IS DISTINCT FROM 'malformed' DO NOTHING
    RETURNING seq
"""
BEGIN = "SELECT begin_period()"

#: Seconds after which something is wrong.
PATIENCE_SECONDS = 20.0

#: Days for which ids are kept, if nothing else is set.
KEPT = 400


@contextmanager
def sessions(world: World, n: int) -> Iterator[list[Session]]:
    """So many sessions, each in a transaction of its own."""
    url = world.runtime.endpoints.database_url
    found = [psycopg.connect(url, autocommit=False) for _ in range(n)]
    try:
        yield found
    finally:
        for session in found:
            session.close()


def claim(session: Session, statement: str = NEW, id_: str = "X") -> bool:
    """Whether the event is claimed by this statement."""
    return session.execute(statement.encode(), {"id": id_}).fetchone() is not None


def ages(world: World, days: int) -> None:
    """Every period began so many days earlier."""
    with transaction(world.runtime.engine) as connection:
        found = retention.periods(connection)
    for one in found:
        began = one.since - timedelta(days=days)
        name = f"arrivals_{began:%Y_%m_%d_%H%M%S}"
        world.execute(f"ALTER TABLE arrivals DETACH PARTITION {one.name}")
        world.execute(f"UPDATE {one.name} SET since = :began", began=began)
        world.execute(f"ALTER TABLE {one.name} RENAME TO {name}")
        world.execute(f"ALTER TABLE arrivals ATTACH PARTITION {name} FOR VALUES IN ('{began}')")
        world.execute(
            "CREATE OR REPLACE FUNCTION current_period() RETURNS timestamptz LANGUAGE sql STABLE"
            f" RETURN timestamptz '{began}'"
        )


def names(world: World) -> list[str]:
    """The periods that there are, the oldest first."""
    with transaction(world.runtime.engine) as connection:
        return [one.name for one in retention.periods(connection)]


def begin(world: World) -> str:
    """Begin a period; its name."""
    with transaction(world.runtime.engine) as connection:
        retention.begin_period(connection)
    return names(world)[-1]


def until(waits: Callable[[], bool]) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not waits():
        assert time.monotonic() < deadline


def test_r32_an_id_is_known_for_its_days_and_goes_with_its_period_without_a_row_deleted(world: World) -> None:
    world.execute(
        "CREATE TRIGGER stays BEFORE UPDATE OR DELETE ON arrivals FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    saved = world.event("learner.saved", world.learner("A"))
    start = world.event("course.started", {"learner": "nobody", "course": "none"}, id_="waits")
    world.send(saved, start)
    ages(world, KEPT - 1)
    assert keep(world) is None
    assert len(names(world)) == 1

    ages(world, 2)
    assert keep(world) is None
    assert len(names(world)) == 2, "another has begun, and what came just before it is known"
    assert world.send(saved).new == 0
    assert world.send(world.event("learner.saved", world.learner("B"))).new == 1
    assert world.list("SELECT CAST(tableoid::regclass AS text) FROM arrivals ORDER BY seq DESC LIMIT 1") == [
        names(world)[-1]
    ]

    ages(world, KEPT - 1)
    keep(world)
    assert len(names(world)) == 2
    assert world.send(saved).new == 0, "not before its days"

    ages(world, 2)
    keep(world)
    assert len(names(world)) == 2
    assert world.list("SELECT DISTINCT organisation FROM arrivals") == ["acme"], "B is known"
    assert world.send(saved).new == 1, "it is forgotten"
    assert world.send(start).new == 0, "what waits is known as long as it does"


@pytest.mark.parametrize("first", [NEW, OLD])
@pytest.mark.parametrize("second", [NEW, OLD])
@pytest.mark.parametrize("period", [False, True])
def test_r32_what_one_version_took_the_other_knows(world: World, first: str, second: str, period: bool) -> None:
    with sessions(world, 2) as (one, other):
        assert claim(one, first)
        one.commit()
        if period:
            begin(world)
        assert not claim(other, second)
        assert claim(other, second, "Y")
        other.commit()
        assert not claim(one, first, "Y")


@pytest.mark.parametrize("first", [NEW, OLD])
@pytest.mark.parametrize("second", [NEW, OLD])
@pytest.mark.parametrize("kept", [False, True])
def test_r32_of_two_at_once_the_other_waits_and_takes_it_only_if_the_first_gave_up(
    world: World, first: str, second: str, kept: bool
) -> None:
    with sessions(world, 2) as (one, other), ThreadPoolExecutor() as threads:
        assert claim(one, first)
        later = threads.submit(claim, other, second)
        until(lambda: world.waiting() == 1)
        (one.commit if kept else one.rollback)()
        assert later.result(PATIENCE_SECONDS) is not kept


@pytest.mark.parametrize("first", [NEW, OLD])
@pytest.mark.parametrize("second", [NEW, OLD])
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_r32_at_the_moment_when_a_period_begins_an_event_is_taken_once(
    world: World, first: str, second: str, kept: bool, known: bool
) -> None:
    """While somebody has the event and has not committed, a period is to begin, and the event comes once more, to a
    session that has a plan of before, or has none."""
    with sessions(world, 3) as (one, chore, other), ThreadPoolExecutor() as threads:
        if known:
            assert claim(other, second, "before")
            other.commit()
        assert claim(one, first)
        begins: Future[object] = threads.submit(chore.execute, BEGIN.encode())
        until(lambda: world.waiting() == 1)
        again = threads.submit(claim, other, second)
        until(lambda: world.waiting() == 2)
        before = world.ask("SELECT clock_timestamp()")
        (one.commit if kept else one.rollback)()
        begins.result(PATIENCE_SECONDS)
        assert not again.done(), "it waits for the one that begins a period"
        chore.commit()
        assert again.result(PATIENCE_SECONDS) is not kept
        other.commit()
    assert world.list("SELECT CAST(tableoid::regclass AS text) FROM arrivals WHERE id = 'X'") == [
        names(world)[0 if kept else -1]
    ]
    assert world.ask("SELECT current_period()") > before, "all that came before it came before it began"


def test_r32_a_period_that_is_taken_back_has_not_begun(world: World) -> None:
    with sessions(world, 2) as (one, other):
        one.execute(BEGIN.encode())
        one.rollback()
        assert claim(other)
        other.commit()
    assert len(names(world)) == 1
    begin(world)
    with sessions(world, 1) as (one,):
        assert not claim(one)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.just(BEGIN),
            st.tuples(st.sampled_from([NEW, OLD]), st.sampled_from("ABC"), st.booleans()),
        ),
        max_size=12,
    )
)
def test_r32_in_whatever_order_versions_and_periods_come_each_event_is_taken_once(
    world: World, steps: list[str | tuple[str, str, bool]]
) -> None:
    world.execute("DELETE FROM inbox")
    world.execute("DELETE FROM arrivals")
    for name in names(world)[:-1]:
        world.execute(f"DROP TABLE {name}")
    taken: set[str] = set()
    with sessions(world, 1) as (one,):
        for step in steps:
            if isinstance(step, str):
                one.execute(step.encode())
                one.commit()
                continue
            statement, id_, kept = step
            assert claim(one, statement, id_) is (id_ not in taken)
            (one.commit if kept else one.rollback)()
            taken |= {id_} if kept else set()


def test_r32_an_event_is_looked_for_in_the_periods_before_and_not_twice_in_its_own(world: World) -> None:
    before, now = names(world)[0], begin(world)
    plan = world.list("EXPLAIN SELECT FROM arrivals WHERE id = 'X' AND since < current_period()")
    assert before in str(plan)
    assert now not in str(plan)


def test_r32_who_does_not_see_what_others_commit_claims_nothing(world: World) -> None:
    with sessions(world, 1) as (one,):
        one.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with pytest.raises(psycopg.errors.ActiveSqlTransaction):
            claim(one)


def test_r32_the_period_of_today_is_not_dropped_nor_what_is_none(world: World) -> None:
    older_one, newest = names(world)[0], begin(world)
    for name in (newest, "arrivals", "inbox", "attempts_other"):
        with transaction(world.runtime.engine) as connection, pytest.raises(DBAPIError, match="no period that is over"):
            retention.drop_period(connection, name)
    with transaction(world.runtime.engine) as connection:
        retention.drop_period(connection, older_one)
    assert names(world) == [newest]


def test_r33_while_a_transaction_that_took_events_goes_on_no_period_begins_and_it_is_tried_again(world: World) -> None:
    ages(world, KEPT + 1)
    with sessions(world, 1) as (one,):
        claim(one)
        assert keep(world) == AGAIN_SECONDS
        assert len(names(world)) == 1
        one.commit()
    assert keep(world) is None
    assert len(names(world)) == 2


def test_r35_however_long_no_relay_ran_what_came_last_is_kept_for_its_days(world: World) -> None:
    ages(world, 5 * KEPT)
    saved = world.event("learner.saved", world.learner("A"))
    world.send(saved)
    keep(world)
    assert len(names(world)) == 2
    assert world.send(saved).new == 0


def test_r31_a_period_that_was_begun_shows_nobody_what_is_anothers(world: World) -> None:
    name = begin(world)
    assert (
        world.list("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' AND NOT relrowsecurity") == []
    )
    granted = """
        SELECT DISTINCT privilege_type FROM information_schema.role_table_grants
        WHERE grantee = people() AND table_name = :name
    """
    assert world.list(granted, name=name) == ["SELECT"]
    assert world.list("SELECT polname FROM pg_policy WHERE polrelid = CAST(:name AS regclass)", name=name) == [
        "own_organisation"
    ]


def test_r32_what_waited_is_known_after_its_period_has_gone_and_after_it_was_applied(world: World) -> None:
    world.has_learners("A")
    start = world.event("course.started", {"learner": "A", "course": "safety"}, id_="start")
    assert world.send(start).deferred == 1
    for _ in range(2):
        ages(world, KEPT + 1)
        keep(world)
    assert world.list("SELECT id FROM arrivals WHERE id = 'start'") == []
    assert world.send(start).new == 0

    world.has_course("safety", "everyone", at=world.clock - timedelta(hours=2))
    world.settle()
    assert [entry.learner for entry in world.ledger()] == ["A"]
    assert world.list("SELECT id FROM inbox") == [], "nothing is held any more"
    assert world.send(start).new == 0
    assert len(world.ledger()) == 1


#: What the last release had: an event that it applied, two that wait for their learner, and what is no event.
HELD = """
    INSERT INTO inbox (source, id, type, organisation, state, arrived_at, until, reason, awaits, awaits_organisation,
                       awaits_id, body)
    VALUES ('urn:platform', 'taken', 'platform.learner.saved', 'acme', 'applied', now(), null, null, null, null, null,
            null),
           ('urn:platform', 'start', 'platform.course.started', 'acme', 'waiting', now(), now() + interval '1 hour',
            'unknown learner', 'learner', 1, 'A', %s),
           ('urn:platform', 'bad', null, 'acme', 'quarantined', now(), null, 'malformed', null, null, null, 'x')
"""


class TestAtTheRevisionBefore:
    """What version 0.1.0 took, at the newest revision."""

    @pytest.fixture
    def database_url(self, servers: Embedded) -> Iterator[str]:
        with database_at(servers, "0091") as url:
            yield url

    def test_r32_r33_ids_of_before_are_known_and_what_waited_is_applied(self, empty_world: World) -> None:
        world = empty_world
        engine = world.runtime.engine
        start = world.event("course.started", {"learner": "A", "course": "safety"}, id_="start")
        with engine.connect() as connection:
            session: Any = connection.connection.driver_connection
            session.execute(
                "INSERT INTO organisations (id, name, licence, pool, admin_emails, reactivation_digest, saved_at)"
                " VALUES ('acme', 'A', 'credits', 9, '{}', false, '2026-01-01')"
            )
            session.execute(HELD, [start])
            connection.connection.commit()
        before = world.ask("SELECT max(seq) FROM inbox")
        assert migrations.bring_up_to_date(engine) == ("0091", REVISIONS[-1])
        assert world.list("SELECT id FROM arrivals") == [], "none of it is read or copied"
        with transaction(engine) as connection:
            assert positions(connection).stored >= before, "so many have come until now"

        taken = world.event("learner.saved", world.learner("B"), id_="taken")
        assert world.send(taken, start).new == 0
        course = {"course": "safety", "title": "S", "cost": 3, "method": "everyone"}
        assert (
            world.send(world.event("course.saved", course), world.event("learner.saved", world.learner("A"))).new == 2
        )
        world.settle()
        assert [entry.learner for entry in world.ledger()] == ["A"]
        assert min(world.list("SELECT seq FROM arrivals")) > before
        assert world.list("SELECT id FROM inbox ORDER BY seq") == ["taken", "bad"], "what waited is held no more"
        assert world.send(taken, start).new == 0
        assert world.send(world.event("learner.saved", world.learner("C"), id_="bad")).new == 1, "S16"


def test_r32_on_the_way_back_every_id_is_known_and_numbers_go_on(servers: Embedded) -> None:
    with database_at(servers, REVISIONS[-1]) as url, opened(url) as (engine, connection):
        old = "SELECT count(*) FROM inbox WHERE id = %(id)s AND state = 'applied'"
        assert claim(connection)
        connection.execute(BEGIN.encode())
        assert claim(connection, NEW, "Y")
        older.move(engine, downgrade, "0091")
        assert connection.execute(old, {"id": "X"}).fetchone() == (1,)
        assert not claim(connection, OLD, "Y")
        last = connection.execute("SELECT max(seq) FROM inbox").fetchone()
        new = connection.execute(OLD.encode(), {"id": "Z"}).fetchone()
        assert last is not None
        assert new is not None
        assert new > last
        older.move(engine, upgrade, REVISIONS[-1])
        assert [claim(connection, NEW, id_) for id_ in "XYZ"] == [False] * 3


def test_r32_an_event_that_is_named_twice_in_a_batch_is_claimed_once(world: World) -> None:
    body = world.event("learner.saved", world.learner("A"))
    event = decode(body, now=world.clock + timedelta(days=1), skew=timedelta())
    with transaction(world.runtime.engine) as connection:
        claimed = claim_new_events(connection, [event, event])()  # type: ignore[list-item]
    assert len(claimed) == 1


def test_r32_two_events_are_one_only_if_source_id_and_organisation_are_the_same(world: World) -> None:
    named = [("a", "bc", "d"), ("ab", "c", "d"), ("a", "b", "cd"), ("\\", "x", "d"), ("x", "\\", "d"),
             ("\\x41", "", "d"), ("A", "", "d"), ("a", "", "d"), ("é", "x", "d"), ("e\u0301", "x", "d")]  # fmt: skip
    with sessions(world, 1) as (one,):
        for expected in (len(named), 0):
            claimed = one.execute(
                "SELECT seq FROM claim_events(%s, %s, %s)", [list(part) for part in zip(*named, strict=True)]
            )
            assert len(claimed.fetchall()) == expected
