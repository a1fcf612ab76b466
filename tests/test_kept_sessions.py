"""The sessions that the tests use one after the other: as new, but for what they have prepared."""

import psycopg
import pytest

from tests.databases import PREPARED_AFTER, Lent

PREPARED = "SELECT statement FROM pg_prepared_statements WHERE statement = 'SELECT 1 + 1'"


def prepared(session: psycopg.Connection[tuple[str]]) -> bool:
    found = session.execute(PREPARED, prepare=False).fetchall()
    session.rollback()
    return found != []


def test_a_session_that_is_kept_is_as_new_but_for_what_it_has_prepared(database: Lent) -> None:
    first = database.connect(database.url)
    pid = first.info.backend_pid
    first.execute("SET work_mem = '1MB'")
    first.execute("CREATE TEMPORARY TABLE mine ()")
    first.execute("SELECT pg_advisory_lock(1)")
    for _ in range(PREPARED_AFTER + 1):
        first.execute("SELECT 1 + 1")
    first.commit()
    first.close()

    with database.connect(database.url) as again:
        assert again.info.backend_pid == pid
        asked = (
            "SELECT current_setting('work_mem'), to_regclass('pg_temp.mine'),"
            " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())"
        )
        assert again.execute(asked).fetchone() == ("4MB", None, 0)
        again.rollback()
        assert prepared(again)


def test_what_was_prepared_is_forgotten_if_something_goes_wrong(database: Lent) -> None:
    with database.connect(database.url) as session:
        for _ in range(PREPARED_AFTER + 1):
            session.execute("SELECT 1 + 1")
        with pytest.raises(psycopg.errors.DivisionByZero):
            session.execute("SELECT 1 / 0")
        session.rollback()

        assert not prepared(session)


def test_a_new_session_prepares_as_soon_as_one_that_was_kept(database: Lent) -> None:
    several = [database.connect(database.url) for _ in range(20)]
    thresholds = {one.prepare_threshold for one in several}
    for one in several:
        one.close()

    assert thresholds == {PREPARED_AFTER}
