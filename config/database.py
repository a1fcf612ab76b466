"""The way to PostgreSQL: one engine a process, and the few helpers every `store.py` is written with."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

import psycopg
from psycopg.types.array import ListBinaryDumper
from sqlalchemy import Connection, Engine, TextClause, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

Row = TypeVar("Row")

#: Advisory lock class of the one lock an organisation has; the second key is its number.
ORGANISATION_LOCK = 7401

#: SQLSTATEs after which the same transaction is worth another try: serialisation, deadlock, a lost race on a key.
RETRYABLE = {"40001", "40P01", "23505", "55P03"}


def make_engine(url: str, *, role: str, pool: int = 4) -> Engine:
    """An engine whose connections speak UTC, name their `role` and send lists in binary (four times cheaper)."""
    engine = create_engine(
        "postgresql+psycopg://" + url.split("://", 1)[1],
        pool_size=pool,
        max_overflow=4,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"application_name": f"rollcall {role}", "options": "-c timezone=UTC"},
    )

    @event.listens_for(engine, "connect")
    def _binary_lists(connection: psycopg.Connection[Any], _record: object) -> None:
        connection.adapters.register_dumper(list, ListBinaryDumper)

    return engine


@lru_cache(maxsize=512)
def _statement(sql: str) -> TextClause:
    """A statement, its parameters found once: as many as this code has, and no more are ever made."""
    return text(sql)


def execute(connection: Connection, sql: str, /, **parameters: object) -> int:
    """Run a statement; the number of rows it touched."""
    return connection.execute(_statement(sql), parameters).rowcount


def rows(connection: Connection, shape: type[Row], sql: str, /, **parameters: object) -> list[Row]:
    """The rows of a query, each in a `shape` whose fields are the query's columns."""
    return [shape(**row._mapping) for row in connection.execute(_statement(sql), parameters)]


def one(connection: Connection, shape: type[Row], sql: str, /, **parameters: object) -> Row | None:
    """The first row of a query in a `shape`, or None."""
    return next(iter(rows(connection, shape, sql, **parameters)), None)


def column(connection: Connection, sql: str, /, **parameters: object) -> list[Any]:
    """The first column of a query."""
    return list(connection.execute(_statement(sql), parameters).scalars())


def value(connection: Connection, sql: str, /, **parameters: object) -> Any:
    """The first column of the first row, or None."""
    return connection.execute(_statement(sql), parameters).scalar()


def is_retryable(problem: BaseException) -> bool:
    """Whether the transaction lost a race or its connection, and the same again may well succeed."""
    return is_connection_problem(problem) or (
        isinstance(problem, DBAPIError) and getattr(problem.orig, "sqlstate", None) in RETRYABLE
    )


def is_connection_problem(problem: BaseException) -> bool:
    """Whether the database is away, stopping or starting: nothing is wrong with what was asked of it."""
    if not isinstance(problem, OperationalError):
        return False
    state = getattr(problem.orig, "sqlstate", None)
    return state is None or state[:2] in {"57", "08"}


def retrying(attempts: int = 6) -> Retrying:
    """Try a whole transaction again after a lost race or a lost connection, within seconds, then give up."""
    return Retrying(
        retry=retry_if_exception(is_retryable),
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=0.02, max=2),
        reraise=True,
    )


def lock_organisations(connection: Connection, organisations: list[int]) -> None:
    """Be the only one to change what is known of these organisations, until the transaction ends.

    Facts (learners, status, memberships, courses) change under this lock; a chunk of a fan-out, which judges by them,
    holds the shared form. So no learner is missed or judged by a status that was changing meanwhile.
    """
    for organisation in sorted(organisations):
        execute(connection, "SELECT pg_advisory_xact_lock(:lock, :key)", lock=ORGANISATION_LOCK, key=organisation)


def share_organisation(connection: Connection, organisation: int) -> None:
    """Keep what is known of an organisation from changing until the transaction ends; see `lock_organisations`."""
    execute(connection, "SELECT pg_advisory_xact_lock_shared(:lock, :key)", lock=ORGANISATION_LOCK, key=organisation)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction, committed at the end of the block."""
    with engine.begin() as connection:
        yield connection
