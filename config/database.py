"""The way to PostgreSQL: transactions, and the few helpers every `store.py` is written with."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache, partial
from typing import Any, TypeVar

import structlog
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Engine, RootTransaction, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from config.locks import ORGANISATION_LOCK
from config.pipeline import READ_ONLY, pipeline_of, pipelining
from config.pooler import pooler_of
from config.statements import Ran, columns_of, run
from config.tracing import TRACE

Row = TypeVar("Row")

log = structlog.get_logger()

#: SQLSTATEs after which the same transaction is worth another try: serialisation, deadlock, a lost race on a key.
RETRYABLE = {"40001", "40P01", "23505"}

#: SQLSTATEs of a statement that was stopped: a lock, or an answer, took longer than it may. Nothing is wrong with what
#: was asked, and asking at once again would take as long again.
STOPPED = {"55P03", "57014"}

#: SQLSTATE of a statement that took longer than `statement_timeout`, or was cancelled: it is about what was asked,
#: though its class is that of a server that goes away.
QUERY_CANCELED = "57014"

#: SQLSTATEs that say nothing of what was asked: the disk is full, there are too many connections, a lock is somebody
#: else's, the server only reads.
NOT_ABOUT_US = {"53100", "53300", "55P03", READ_ONLY}

#: How long a statement may wait for a lock, until the transaction ends.
_LOCK_TIMEOUT = "SELECT set_config('lock_timeout', :most, true)"

#: Where a statement names what belongs to one organisation, and the type of that.
_NAMED = re.compile(
    r"\b(organisation(?= = :organisation\b)|course|cycle|segment|learner|recipient|mailing|fanout) = :(\w+)"
)
_BIG = {"mailing", "fanout"}

#: Bits of the number of a mailing that are below those of the epoch that gave it, and below those of its month.
EPOCH_BITS, MONTH_BITS = 40, 30

#: Where a statement names months of mailings by the numbers of one mailing, or of the lowest and the highest.
_MONTHS = re.compile(r"\b(?:same_month|in_months)\(([\w.]+), :(\w+)(?:, :(\w+))?\)")


_DIALECT = make_url("postgresql+psycopg://").get_dialect()()


@lru_cache(maxsize=1024)
def _months(sql: str) -> tuple[tuple[str, str], ...]:
    """The parameters by which a statement names months of mailings: the lowest and the highest of each."""
    return tuple((lowest, highest or lowest) for _, lowest, highest in _MONTHS.findall(sql))


@lru_cache(maxsize=4096)
def _statement(sql: str, people: bool = False, months: tuple[tuple[int, int] | None, ...] = ()) -> str:
    """A statement as psycopg takes it, made once: as many as this code has, and no more are ever made. `people`: as it
    is run with the rights of an organisation's people. A statement that is run with both is two to psycopg, which
    prepares it: PostgreSQL would else plan it anew at each change of role. So are those about different `months` of
    mailings, which are written into it: a plan for any mailing of a month then has one partition, and locks no other.

    The planner is not shown which organisation it is about, or which course or mailing of it, so that it plans for one
    of average size. Shown the number of one that its statistics do not know, it believes in one row, and takes any
    index that begins with the organisation for as good as the right one: each look-up then reads all that it has.
    """
    for month in months:
        sql = _MONTHS.sub(partial(_within, month), sql, count=1)
    said = text(_NAMED.sub(_unseen, sql)).compile(dialect=_DIALECT).string
    return f"{said}\n-- by an organisation's people" if people else said


def _within(month: tuple[int, int] | None, named: re.Match[str]) -> str:
    if month is None:
        return "false"
    lowest, highest = month
    return f"{named[1]} BETWEEN {lowest << MONTH_BITS} AND {(highest + 1 << MONTH_BITS) - 1}"


def _month(lowest: Any, highest: Any) -> tuple[int, int] | None:
    return None if lowest is None else (lowest >> MONTH_BITS, highest >> MONTH_BITS)


def _unseen(named: re.Match[str]) -> str:
    column_, parameter = named.groups()
    return f"{column_} = (SELECT CAST(:{parameter} AS {'bigint' if column_ in _BIG else 'int'}))"


class CrossedOver(ValueError):
    """A statement names another organisation than its transaction is about: a bug, and nothing was asked."""


@contextmanager
def scoped(connection: Connection, organisation: int) -> Iterator[None]:
    """Make a transaction, until the block ends, one about this organisation: no statement may name another (R31).

    Raises `CrossedOver` where it is about another one already.
    """
    before = connection.get_execution_options().get("organisation")
    if before is not None:
        within(connection, organisation)
    connection.execution_options(organisation=organisation)
    try:
        yield
    finally:
        connection.execution_options(organisation=before)


def within(connection: Connection, organisation: object) -> None:
    """Raises `CrossedOver` unless this organisation is the one that the transaction is about."""
    about = connection.get_execution_options().get("organisation")
    if organisation != about:
        raise CrossedOver(f"organisation {organisation} is named, and the transaction is about {about or 'none'}")


def enter_tenant_role(connection: Connection, organisation: int) -> None:
    """Keep, until the transaction ends, only the rights of an organisation's people: row security then shows and
    changes nothing of another's, whatever a statement says (R31), and nothing at all of one that has left this cell."""
    later(
        connection,
        """
        SELECT set_config('rollcall.organisation', coalesce((
                   SELECT CAST(o.organisation AS text) FROM organisations o
                   WHERE o.organisation = CAST(:organisation AS int)), ''), true),
               set_config('search_path', quote_ident(current_schema()), true), set_config('role', people(), true)
        """,
        organisation=organisation,
    )
    connection.execution_options(people=True)


def keep_plans(connection: Connection) -> None:
    """Plan a statement once for all transactions that ask for this, not anew for each: for what is about a few rows. To
    plan takes longer there than to do it. As the planner then sees no parameter, and no table that has grown since, it
    may choose nothing but to look rows up by an index."""
    later(
        connection,
        """
        SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
               set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
               set_config('enable_material', 'off', true)
        """,
    )


def analyze(connection: Connection, table: str) -> None:
    """Take the planner's statistics of a table, named as the catalogue names it, unless somebody alters it, or analyses
    it, at this moment."""
    connection.exec_driver_sql("ANALYZE (SKIP_LOCKED) " + table.replace("%", "%%"))


def _run(connection: Connection, sql: str, parameters: dict[str, object], *, later: bool = False) -> Ran:
    """Run a statement, whose organisation is the transaction's: there is no other way to one (R31)."""
    if "organisation" in parameters:
        within(connection, parameters["organisation"])
    months = tuple([_month(parameters[lowest], parameters[highest]) for lowest, highest in _months(sql)])
    people = connection.get_execution_options().get("people", False)
    return run(connection, _statement(sql, people, months), parameters, later)


def fits(connection: Connection, rows: int, most: int) -> bool:
    """Whether this transaction, with so many more rows, writes at most so many for its organisation; if it does, they
    are counted. Who waits for its lock, or for what is taken with it, does not wait longer than that (R31)."""
    options = connection.get_execution_options()
    spent: dict[int, int] = options.get("spent") or {}
    total = spent.get(options["organisation"], 0) + rows
    if total > most:
        return False
    connection.execution_options(spent=spent | {options["organisation"]: total})
    return True


def later(connection: Connection, sql: str, /, **parameters: object) -> None:
    """Run a statement of which nobody needs to hear: in a pipelined transaction it is sent with the next, or the end,
    and raises there."""
    _run(connection, sql, parameters, later=True)


def execute(connection: Connection, sql: str, /, **parameters: object) -> int:
    """Run a statement; the number of rows it touched."""
    return _run(connection, sql, parameters).rowcount


def changes_any(connection: Connection, sql: str, /, **parameters: object) -> bool:
    """Run a statement; whether it touched any row."""
    return execute(connection, sql, **parameters) > 0


def rows(connection: Connection, shape: type[Row], sql: str, /, **parameters: object) -> list[Row]:
    """The rows of a query, each in a `shape` whose fields are the query's columns."""
    names, found = _read(connection, sql, parameters)
    return _shaped(shape, names, found)


def soon(connection: Connection, shape: type[Row], sql: str, /, **parameters: object) -> Callable[[], list[Row]]:
    """Ask a query, as `later` does. What this returns gives its rows, and waits for them unless a statement after it
    was waited for."""
    ran = _run(connection, sql, parameters, later=True)

    def found() -> list[Row]:
        if ran.pgresult is None and (pipeline := pipeline_of(connection)):
            pipeline.wait()
        return _shaped(shape, columns_of(ran), ran.fetchall())

    return found


def numbered_rows(connection: Connection, shape: type[Row], sql: str, /, **parameters: object) -> list[tuple[int, Row]]:
    """The rows of a query, each as its first column, a number, and the others in a `shape`."""
    names, found = _read(connection, sql, parameters)
    return list(zip([row[0] for row in found], _shaped(shape, names[1:], [row[1:] for row in found]), strict=True))


def _read(connection: Connection, sql: str, parameters: dict[str, object]) -> tuple[tuple[str, ...], Sequence[Any]]:
    """The names of a query's columns, and its rows."""
    ran = _run(connection, sql, parameters)
    return columns_of(ran), ran.fetchall()


def _shaped(shape: type[Row], names: tuple[str, ...], found: Sequence[Any]) -> list[Row]:
    make: Callable[..., Row] = shape
    if names == getattr(shape, "__match_args__", ()):  # in the same order: three times cheaper
        return [make(*row) for row in found]
    return [make(**dict(zip(names, row, strict=True))) for row in found]


def one(connection: Connection, shape: type[Row], sql: str, /, **parameters: object) -> Row | None:
    """The first row of a query in a `shape`, or None."""
    return next(iter(rows(connection, shape, sql, **parameters)), None)


def the_one(connection: Connection, shape: type[Row], sql: str, /, **parameters: object) -> Row:
    """The first row of a query that always gives one, in a `shape`."""
    return rows(connection, shape, sql, **parameters)[0]


def column(connection: Connection, sql: str, /, **parameters: object) -> list[Any]:
    """The first column of a query."""
    return [row[0] for row in _run(connection, sql, parameters)]


def tuples(connection: Connection, sql: str, /, **parameters: object) -> list[Any]:
    """The rows of a query, each as a tuple of its columns."""
    return _run(connection, sql, parameters).fetchall()


def value(connection: Connection, sql: str, /, **parameters: object) -> Any:
    """The first column of the first row, or None."""
    row = _run(connection, sql, parameters).fetchone()
    return None if row is None else row[0]


def is_true(connection: Connection, sql: str, /, **parameters: object) -> bool:
    """Whether the first column of the first row is true."""
    return bool(value(connection, sql, **parameters))


def integer(connection: Connection, sql: str, /, **parameters: object) -> int:
    """The first column of the first row, which is a number."""
    return int(value(connection, sql, **parameters))


def only_reads(connection: Connection) -> bool:
    """Whether the database, a replica perhaps, lets nothing be written; the connection is then not used again."""
    reads = is_true(connection, "SELECT current_setting('transaction_read_only') = 'on'")
    if reads:
        connection.invalidate()
    return reads


def without_nested_loops(connection: Connection) -> None:
    """Join whole organisations by merging and hashing, until the transaction ends.

    An organisation that arrived since the last ANALYZE looks empty to the planner, and a nested loop cheap: it takes
    days where a merge takes seconds.
    """
    execute(connection, "SET LOCAL enable_nestloop = off")


def is_retryable(problem: BaseException) -> bool:
    """Whether the transaction lost a race or its connection, and the same again may well succeed."""
    state = getattr(getattr(problem, "orig", None), "sqlstate", None)
    if isinstance(problem, DBAPIError) and state in RETRYABLE:
        return True
    return is_connection_problem(problem) and state not in STOPPED


def is_connection_problem(problem: BaseException) -> bool:
    """Whether the database is away, stopping, starting, full or busy: nothing is wrong with what was asked of it."""
    if not isinstance(problem, OperationalError):
        return False
    state = getattr(problem.orig, "sqlstate", None)
    return state is None or (state[:2] in {"57", "08"} and state != QUERY_CANCELED) or state in NOT_ABOUT_US


def retrying(*, seconds: float | None = None) -> Retrying:
    """Try a whole transaction again after a lost race or a lost connection, within a second or so, then give up; or for
    so many `seconds`, where what would be lost cannot be had again."""
    return Retrying(
        retry=retry_if_exception(is_retryable),
        stop=stop_after_attempt(6) if seconds is None else stop_after_delay(seconds),
        wait=wait_random_exponential(multiplier=0.02, max=2),
        reraise=True,
    )


def lock_organisations(connection: Connection, organisations: Iterable[int]) -> None:
    """Be the only one to change what is known of these organisations, until the transaction ends.

    Facts (learners, status, memberships, courses) change under this lock; a chunk of a fan-out, which judges by them,
    holds the shared form. So no learner is missed or judged by a status that was changing meanwhile.
    """
    with nobody_to_blame():
        later(
            connection,
            """
            SELECT pg_advisory_xact_lock(:lock, key)
            FROM (SELECT key FROM unnest(CAST(:keys AS int[])) AS asked (key) ORDER BY key OFFSET 0) ordered
            """,
            lock=ORGANISATION_LOCK,
            keys=list(organisations),
        )


@contextmanager
def nobody_to_blame(connection: Connection | None = None, patience: float | None = None) -> Iterator[None]:
    """Wait for locks within the block, for so many seconds at most; raises, where it takes longer, what `is_locked`
    knows, also where the statement was cancelled: whoever waits is not to blame."""
    if connection is not None and patience is not None:
        later(connection, _LOCK_TIMEOUT, most=f"{max(patience * 1000, 1):.0f}ms")
    try:
        yield
    except OperationalError as problem:
        if getattr(problem.orig, "sqlstate", None) != QUERY_CANCELED:
            raise
        busy = LockNotAvailable("the organisation is changed by somebody else")
        raise OperationalError(problem.statement, None, busy) from problem
    if connection is not None and patience is not None:
        later(connection, "SET LOCAL lock_timeout TO DEFAULT")
        if (pooler := pooler_of(connection)) and "lock_timeout" in pooler.told:  # its session's default is not ours
            later(connection, _LOCK_TIMEOUT, most=pooler.told["lock_timeout"])


def is_locked(problem: BaseException) -> bool:
    """Whether a lock is somebody else's, and was not to be waited for any longer; said by SQLAlchemy or psycopg."""
    return getattr(getattr(problem, "orig", problem), "sqlstate", None) == "55P03"


def share_organisation(connection: Connection, organisation: int) -> bool:
    """Keep what is known of an organisation from changing until the transaction ends; see `lock_organisations`. Whether
    that could be at once: nobody was changing it, or waiting to."""
    asked: dict[str, object] = {"lock": ORGANISATION_LOCK, "key": organisation}
    if value(connection, "SELECT pg_try_advisory_xact_lock_shared(:lock, :key)", **asked):
        return True
    execute(connection, "SELECT pg_advisory_xact_lock_shared(:lock, :key)", **asked)
    return False


@contextmanager
def transaction(engine: Engine, organisation: int | None = None, *, pipelined: bool = False) -> Iterator[Connection]:
    """One transaction, about one organisation if it is named, committed at the end of the block. `pipelined`: BEGIN,
    what is run `later` and COMMIT are sent with what is waited for; COPY is not possible in it. Through a pooler it
    is as others are: PgBouncer 1.18 keeps a session, at times, for a client whose pipelined transaction has ended."""
    pipelined = pipelined and pooler_of(engine) is None
    with (
        autocommit(engine) if pipelined else engine.connect() as connection,
        committing(connection),
        pipelining(connection) if pipelined else nullcontext(),
        nullcontext() if organisation is None else scoped(connection, organisation),
    ):
        if (trace := TRACE.get()) is not None:
            trace_as(connection, trace)
        yield connection


@contextmanager
def committing(connection: Connection) -> Iterator[RootTransaction]:
    """A transaction of a connection, and what is to be done `after_commit`; none of that if the block rolls it back."""
    after: list[Callable[[], object]] = []
    with connection.begin() as begun:
        connection.execution_options(after=after)
        yield begun
        if not begun.is_active:
            after.clear()
    for do in after:
        do()


def trace_as(connection: Connection, traceparent: str | None) -> None:
    """Have what this transaction writes from here on belong to a trace, or to none."""
    later(
        connection,
        "SELECT set_config('rollcall.traceparent', coalesce(:traceparent, ''), true)",
        traceparent=traceparent,
    )


def after_commit(connection: Connection, do: Callable[[], object]) -> None:
    """Do something once what a transaction, or a savepoint of it, has done is committed, and not if it is not: what is
    said, or counted."""
    after = connection.get_execution_options().get("after")
    if after is None:
        do()
    else:
        after.append(do)


def durable_with_the_next(connection: Connection) -> None:
    """Do not wait until this transaction is on the disk. What is committed after it cannot be there without it, as the
    log is written in order: so this is for what has no meaning unless more follows."""
    later(connection, "SET LOCAL synchronous_commit = off")


@contextmanager
def autocommit(engine: Engine, organisation: int | None = None) -> Iterator[Connection]:
    """A connection on which each statement is a transaction of its own, about one organisation if it is named: that
    takes one round trip in place of three, unless a pooler's session must be told something first."""
    with (
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        nullcontext() if organisation is None else scoped(connection, organisation),
    ):
        yield connection


def say(connection: Connection, what: str, **fields: object) -> None:
    """Log what a transaction has done, once it is committed. No names, addresses or ids of people: numbers alone."""
    bound = structlog.contextvars.get_contextvars()
    after_commit(connection, lambda: log.info(what, **bound | fields))


@contextmanager
def snapshot(engine: Engine, organisation: int | None, *, read_only: bool = False) -> Iterator[Connection]:
    """One transaction about one organisation, if it is named, that sees one moment, however long it looks.
    `read_only`: the database refuses to let it write anything, as a replica does."""
    with (
        engine.connect().execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=read_only
        ) as connection,
        connection.begin(),
        nullcontext() if organisation is None else scoped(connection, organisation),
    ):
        yield connection


@contextmanager
def planned_for_sets(connection: Connection) -> Iterator[None]:
    """Keep the planner, within the block, from taking many rows for one where a table has no statistics yet: a
    nested loop is then quadratic."""
    setting = "SELECT set_config('enable_nestloop', :loops, true), set_config('plan_cache_mode', :plans, true)"
    execute(connection, setting, loops="off", plans="force_custom_plan")
    yield
    execute(connection, setting, loops="on", plans="auto")
