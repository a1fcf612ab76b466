"""The planner hears of tables that have grown within seconds, in place of the minutes of PostgreSQL's own round."""

import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from config.database import autocommit, execute, transaction, value
from tasks.system import statistics
from tasks.system.statistics import ROWS, TIMES, analyze_grown
from tests.scale.life import Life
from tests.world import World
from workers.relay.statistics import AnalyzeGrown

#: So many learners, and what is read for each at most: with the plans of a trial it would be more than all of them.
MANY, AT_MOST = 2 * ROWS, 50

READ = """
    SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables) + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes)
"""

KNOWN = "SELECT reltuples FROM pg_class WHERE oid = CAST('learners' AS regclass)"


@pytest.fixture
def used_before() -> bool:
    """A database for each test, of which nobody has taken statistics."""
    return False


class Starts(Life):
    """What comes before a start, and starts."""

    def __init__(self, world: World, n: int, name: str) -> None:
        super().__init__(world, n)
        world.organisation = name

    def begin(self) -> None:
        """All until everybody may start."""
        self.organisation_saved()
        self.world.has_course("asked")
        self.learner_saved()
        self.world.asks_to_enrol("asked", *self.ids)
        self.settled()


def count(connection: Connection) -> int:
    """How many rows and entries of indexes were read in this database, ever."""
    value(connection, "SELECT pg_stat_force_next_flush()")
    return int(value(connection, READ))


def read_for_each(world: World, n: int, name: str, *, told: bool) -> float:
    """How many rows and entries are read for each of so many learners that are saved again and start, whether or not
    the planner was told of them before."""
    starts = Starts(world, n, name)
    starts.begin()
    with autocommit(world.runtime.engine) as connection:
        before = count(connection)
    if told:
        AnalyzeGrown(world.runtime).do()
    starts.learner_saved_again()
    starts.course_started()
    with autocommit(world.runtime.engine) as connection:
        return (count(connection) - before) / n


def test_r31_an_installation_that_grows_from_nothing_reads_no_more_for_each(world: World) -> None:
    for few in range(2, 9):
        read_for_each(world, few, f"trial{few}", told=False)  # by now plans are kept

    assert 0 < read_for_each(world, MANY, "grown", told=True) < AT_MOST


def grow(world: World, low: int, high: int) -> None:
    """There are learners by these numbers, too."""
    with transaction(world.runtime.engine) as connection:
        execute(
            connection,
            """
            INSERT INTO learners (organisation, learner, id, standing, version)
            SELECT 1, n, 'L' || n, 'unsaved', 0 FROM generate_series(CAST(:low AS int), CAST(:high AS int)) n
            """,
            low=low,
            high=high,
        )
        value(connection, "SELECT pg_stat_force_next_flush()")


def analyzed(world: World) -> list[str]:
    """The tables that are analysed now."""
    with autocommit(world.runtime.engine) as connection:
        return analyze_grown(connection, set())


def test_a_table_is_analysed_when_it_has_many_rows_more_than_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.has_organisation()
    grow(world, 1, ROWS)
    assert analyzed(world) == []

    grow(world, ROWS + 1, ROWS + 1)
    assert analyzed(world) == ["public.learners"]
    assert world.list(KNOWN) == [ROWS + 1]
    assert analyzed(world) == []

    grow(world, ROWS + 2, ROWS + TIMES * (ROWS + 1))
    assert analyzed(world) == []
    grow(world, 0, 0)
    assert analyzed(world) == ["public.learners"]

    monkeypatch.setattr(statistics, "LARGE", ROWS)
    grow(world, 10 * ROWS, 100 * ROWS)
    assert analyzed(world) == [], "it is large already"


def test_a_table_that_somebody_changes_or_that_is_not_ours_is_left_out(world: World) -> None:
    world.has_organisation()
    grow(world, 1, ROWS + 1)

    with transaction(world.runtime.engine) as connection:
        execute(connection, "LOCK TABLE learners IN SHARE UPDATE EXCLUSIVE MODE")
        assert analyzed(world) == [], "nobody waits"
    assert world.list(KNOWN) == [-1]
    with autocommit(world.runtime.engine) as connection:
        execute(connection, "SET ROLE pg_monitor")
        assert analyze_grown(connection, set()) == []
        execute(connection, "RESET ROLE")


def test_r31_a_table_that_cannot_be_analysed_keeps_no_other_from_it(world: World) -> None:
    world.execute("""
        CREATE TABLE "odd %s" (a int);
        CREATE FUNCTION of(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN a; END';
        CREATE TABLE broken (a int);
        CREATE INDEX ON broken (of(a));
    """)
    world.has_organisation()
    grow(world, 1, 3 * ROWS)
    with transaction(world.runtime.engine) as connection:
        for table in ('"odd %s"', "broken"):
            connection.exec_driver_sql(f"INSERT INTO {table.replace('%', '%%')} SELECT generate_series(1, {2 * ROWS})")
        value(connection, "SELECT pg_stat_force_next_flush()")
        execute(connection, "CREATE OR REPLACE FUNCTION of(a int) RETURNS int IMMUTABLE AS 'SELECT 1 / 0' LANGUAGE sql")
    chore = AnalyzeGrown(world.runtime)

    with capture_logs() as first:
        chore.do()
    with capture_logs() as second:
        chore.do()

    assert [line["table"] for line in first if line["event"] == "table.not_analyzed"] == ["public.broken"]
    assert [line["tables"] for line in first if line["event"] == "tables.grown"] == [
        ['public."odd %s"', "public.learners"]
    ]
    assert second == []
