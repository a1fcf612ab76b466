"""What proves the ledger says nothing of one that is right, and finds each thing that is made wrong: R25, R26, R28."""

import itertools
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from config.database import transaction
from tasks import seats
from tasks.intake import process_batch
from tests.world import DAWN, World

HOUR = timedelta(hours=1)


def off(world: World, *statements: str) -> list[tuple[str, str]]:
    """What is off, and with which entry; after these statements, which are undone and of which a superuser alone is
    capable."""
    with world.about() as (connection, organisation):
        attempt = connection.begin_nested()
        for table in ("consumptions", "outbox"):
            connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in statements:
            connection.execute(text(statement))
        found = [(found.what, found.id) for some in seats.checks(connection, organisation) for found in some]
        attempt.rollback()
        return found


@pytest.fixture
def used(world: World) -> World:
    """Entries of every sort: of two licences and periods, within and past a pool, free, corrected, of one who left."""
    world.has_learners("A", "B", "C", at=DAWN)
    world.has_course("safety", "everyone", cost=3, at=DAWN)
    world.has_course("free", "everyone", cost=0, at=DAWN)
    for learner in "AB":
        world.starts(learner, "safety")
        world.starts(learner, "free")
    world.has_organisation("credits", 7)
    world.starts("C", "safety", at=DAWN + timedelta(minutes=3, microseconds=120))
    world.say("learner.deleted", learner="C")
    world.has_organisation("seats", 1)
    world.starts("A", "free")
    world.starts("B", "free")
    world.has_organisation("seats", 9, licence_starts="2026-02-01", licence_ends="2026-02-28")
    world.starts("A", "free", at=DAWN + timedelta(days=40))
    world.starts("B", "safety", at=DAWN + HOUR)
    world.has_organisation("seats", 9, licence_starts="2026-01-05")
    world.starts("A", "free", at=DAWN + timedelta(days=50))
    world.settle()
    return world


def test_r28_a_ledger_of_any_sort_of_entries_is_found_right(used: World) -> None:
    assert [entry.overdrawn for entry in used.ledger()] == [False] * 4 + [True] + [False, True] + [False] * 2
    assert off(used) == []


TOLD = "type = 'rollcall.seat.consumed' AND data ->> 'consumption' = '2'"


NO_INDEX = "DROP INDEX one_seat_charge, one_credit_charge"

#: What is made wrong, and what is found then: exactly this.
WRONG: dict[str, list[str]] = {
    "UPDATE balances SET used = used + 1 WHERE unit = 'credit'": ["balance credit 2026-01-01"],
    "DELETE FROM balances WHERE unit = 'credit'": ["balance credit 2026-01-01"],
    f"DELETE FROM outbox WHERE {TOLD}": ["not announced 2"],
    "DELETE FROM consumptions WHERE consumption = 2": ["no entry "],
    "UPDATE consumptions SET amount = 5 WHERE consumption = 2": ["announced otherwise 2", "balance credit"],
    "UPDATE consumptions SET occurred_at = occurred_at + interval '1 us' WHERE consumption = 5": [
        "announced otherwise 5"
    ],
    f"UPDATE outbox SET data = CAST(jsonb_set(CAST(data AS jsonb), '{{overdrawn}}', 'true') AS json) WHERE {TOLD}": [
        "announced otherwise 2"
    ],
    f"UPDATE outbox SET data = CAST(CAST(data AS jsonb) - 'consumption' AS json) WHERE {TOLD}": [
        "no entry ",
        "not announced 2",
    ],
    "INSERT INTO outbox (organisation, type, data) SELECT 1, 'rollcall.seat.consumed', '{}'": ["no entry "],
    f"INSERT INTO outbox (organisation, type, data) SELECT organisation, type, data FROM outbox WHERE {TOLD}": [
        "announced twice 2"
    ],
    "UPDATE consumptions SET overdrawn = NOT overdrawn WHERE consumption = 5": [
        "announced otherwise 5",
        "overdrawn 5",
    ],
    "UPDATE consumptions SET learner = 99 WHERE consumption = 2": ["announced otherwise 2", "unknown learner 2"],
    "UPDATE consumptions SET course = 99 WHERE consumption = 2": ["announced otherwise 2", "unknown course 2"],
    "UPDATE consumptions SET course = 1, cycle = 1 WHERE consumption = 2": [
        "announced otherwise 2",
        "charged twice 2",
    ],
    "UPDATE consumptions SET learner = 1 WHERE consumption = 7": ["announced otherwise 7", "charged twice 7"],
    "UPDATE consumptions SET occurred_at = '2026-02-03' WHERE consumption = 6": [
        "announced otherwise 6",
        "balance seat 2026-02-01",
        "charged twice 8",
    ],
}


def test_r28_whatever_is_made_wrong_is_found_and_nothing_else(used: World) -> None:
    for statement, expected in WRONG.items():
        found = sorted(" ".join(one) for one in off(used, NO_INDEX, statement))
        assert len(found) == len(expected), (statement, found)
        assert [f for f, e in zip(found, sorted(expected), strict=True) if not f.startswith(e)] == [], statement


def test_r28_balances_are_made_the_sum_of_their_entries_again(used: World) -> None:
    before = used.rows("SELECT unit, period, used FROM balances ORDER BY 1, 2")
    used.execute("UPDATE balances SET used = used + 7")
    used.execute("DELETE FROM balances WHERE unit = 'credit'")
    assert len(off(used)) == len(before)

    with used.about() as (connection, organisation):
        seats.recount(connection, organisation)

    assert off(used) == []
    assert used.rows("SELECT unit, period, used FROM balances ORDER BY 1, 2") == before


def test_s11_a_period_that_is_gone_back_to_counts_what_was_used_in_it_meanwhile(world: World) -> None:
    world.has_organisation("seats", 2)
    world.has_learners("A", "B", "C", at=DAWN)
    world.has_course("safety", "everyone", at=DAWN)
    world.starts("A", "safety")
    world.has_organisation("seats", 2, licence_starts="2026-02-01", licence_ends="2026-02-28")
    world.starts("B", "safety", at=DAWN + HOUR)

    world.has_organisation("seats", 2)
    world.starts("C", "safety", at=DAWN + HOUR)

    assert [entry.overdrawn for entry in world.ledger()] == [False, False, True]
    assert off(world) == []


def test_r28_many_who_start_at_once_use_up_a_pool_exactly(world: World) -> None:
    many, pool, workers = 40, 25, 4
    world.has_organisation("seats", pool)
    world.has_learners(*(f"L{n}" for n in range(many)), email=None)
    world.has_course("safety", "everyone")
    starts = [world.event("course.started", {"learner": f"L{n}", "course": "safety"}) for n in range(many)]
    together = Barrier(workers)

    def taking(mine: list[bytes]) -> None:
        together.wait()
        for low in range(0, len(mine), 2):
            process_batch(world.runtime.engine, world.runtime.settings, mine[low : low + 2])

    threads = [Thread(target=taking, args=[starts[n::workers] + starts[:3]]) for n in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.settle()

    flags = [entry.overdrawn for entry in world.ledger()]
    assert (flags.count(False), flags.count(True)) == (pool, many - pool)
    assert flags == sorted(flags)
    assert world.ask("SELECT used FROM balances WHERE unit = 'seat'") == many
    assert [(told["percent"], told["used"]) for told in world.out("pool.reached")] == [(80, 20), (100, 25)]
    assert off(world) == []


def test_r28_the_database_refuses_every_way_to_change_the_ledger(used: World) -> None:
    """A superuser's too, and where triggers are silenced for replication."""
    for replica, table in itertools.product(("origin", "replica"), ("consumptions", "reviews", "settled_reviews")):
        put = f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {table}"
        for statement in (
            f"UPDATE {table} SET organisation = 1",
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
            f"{put} ON CONFLICT ON CONSTRAINT {table}_pkey DO UPDATE SET organisation = 1",
            f"MERGE INTO {table} USING (SELECT 1) x ON true WHEN MATCHED THEN DELETE",
            f"WITH gone AS (DELETE FROM {table} RETURNING 1) SELECT FROM gone",
        ):
            with pytest.raises(DBAPIError, match="append-only"), transaction(used.runtime.engine) as connection:
                connection.exec_driver_sql(f"SET LOCAL session_replication_role = {replica}; {statement}")


def test_r28_the_owner_of_the_ledger_has_no_right_to_change_it(world: World) -> None:
    rights = world.rows(
        """
        SELECT relname, array_agg(privilege_type ORDER BY privilege_type) FROM pg_class, aclexplode(relacl)
        WHERE relname = ANY(ARRAY['consumptions', 'reviews', 'settled_reviews']) AND grantee = relowner
        GROUP BY relname
        """
    )

    assert len(rights) == 3
    assert [row for row in rights if {"UPDATE", "DELETE", "TRUNCATE"} & set(row[1]) or "INSERT" not in row[1]] == []
