"""The way to PostgreSQL: one engine a process, and the few helpers every `store.py` is written with."""

import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import LockNotAvailable
from psycopg.pq import ConnStatus, PipelineStatus
from psycopg.types.array import ListBinaryDumper
from psycopg.waiting import Ready, Wait
from sqlalchemy import Connection, CursorResult, Engine, ExceptionContext, TextClause, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from config.settings import ConfigurationError

Row = TypeVar("Row")

log = structlog.get_logger()

#: Advisory lock class of the one lock an organisation has; the second key is its number.
ORGANISATION_LOCK = 7401

#: How soon libpq gives up a connection, unless the URL says otherwise: one that does not come about, in seconds; one
#: that went without a word, by probes when nothing is said on it (seconds, seconds, how many) and by what is not
#: acknowledged when something is (milliseconds). Linux alone takes 15 minutes, and two hours where nothing is said.
DEADLINES = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

#: What our statements, and whoever reads their results, take for granted, whatever the server, the database or the role
#: says. What an operator decides (time-outs, search_path, whether to write at all) stays as they say.
OURS = {
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "extra_float_digits": "1",
    "row_security": "on",
    "default_transaction_isolation": "read\\ committed",
}

#: How often the end of a pipeline is waited for at most, after an error: psycopg hears as much each time as has come.
MOST_SYNCS = 10

#: SQLSTATEs after which the same transaction is worth another try: serialisation, deadlock, a lost race on a key.
RETRYABLE = {"40001", "40P01", "23505"}

#: SQLSTATEs of a statement that was stopped: a lock, or an answer, took longer than it may. Nothing is wrong with what
#: was asked, and asking at once again would take as long again.
STOPPED = {"55P03", "57014"}

#: SQLSTATE of a statement that took longer than `statement_timeout`, or was cancelled: it is about what was asked,
#: though its class is that of a server that goes away.
QUERY_CANCELED = "57014"

#: SQLSTATE of a session that began on a server that takes no writes, as one does during a failover: there is no use in
#: keeping it.
READ_ONLY = "25006"

#: SQLSTATEs that say nothing of what was asked: the disk is full, there are too many connections, a lock is somebody
#: else's, the server only reads.
NOT_ABOUT_US = {"53100", "53300", "55P03", READ_ONLY}


def deadlines(url: str) -> dict[str, Any]:
    """The deadlines of connections to this URL that it does not give itself."""
    said = conninfo_to_dict(url)
    return {name: value for name, value in DEADLINES.items() if name not in said}


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait for a free connection of the pool, for a new one, for a lock and, unless that is None, for a
    statement."""

    pool: float
    connect: int
    lock: float
    statement: float | None


def make_engine(
    url: str, *, role: str, pool: int = 4, more: int = 4, patience: Patience | None = None, ping: bool = True
) -> Engine:
    """An engine whose connections speak UTC, name their `role` and send lists in binary (four times cheaper). It keeps
    `pool` connections open, and makes so many `more` while all are in use; `patience` bounds how long it waits. The URL
    means what it means to libpq. `ping`: whether a connection is asked if it is there before it is used again; else its
    user asks anew if it was not."""
    bounds = deadlines(url)
    said = str(conninfo_to_dict(url).get("options") or os.environ.get("PGOPTIONS", ""))
    options = " ".join([said, *(f"-c {name}={value}" for name, value in OURS.items())]).strip()
    if patience is not None:
        bounds["connect_timeout"] = patience.connect
        options += f" -c lock_timeout={patience.lock * 1000:.0f}"
        if patience.statement is not None:
            options += f" -c statement_timeout={patience.statement * 1000:.0f}"
    engine = create_engine(
        "postgresql+psycopg://",
        pool_size=pool,
        max_overflow=more,
        pool_timeout=30 if patience is None else patience.pool,
        pool_pre_ping=ping,
        hide_parameters=True,
        use_native_hstore=False,  # nothing is kept in one, and to look for the type is a question to the server
        connect_args={
            "application_name": f"rollcall {role}",
            "client_encoding": "utf8",
            "options": options,
            **bounds,
        },
    )

    @event.listens_for(engine, "handle_error", retval=True)
    def _leave_what_only_reads(context: ExceptionContext) -> OperationalError | None:
        problem = context.original_exception
        if getattr(problem, "sqlstate", None) != READ_ONLY:
            return None
        context.is_disconnect = True
        return OperationalError(context.statement, None, problem)

    place = _Place()

    @event.listens_for(engine, "do_connect")
    def _as_libpq_does(_dialect: object, _record: object, _words: object, arguments: dict[str, Any]) -> object:
        connection = psycopg.connect(url, **arguments)
        place.enter(connection)
        return connection

    @event.listens_for(engine, "connect", insert=True)
    def _in_unicode(connection: psycopg.Connection[Any], _record: object) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding not in {None, "UTF8"}:
            raise ConfigurationError(
                f"DATABASE_URL: the database is in {encoding}, and names need UTF8: CREATE DATABASE … ENCODING 'UTF8'"
                " TEMPLATE template0."
            )

    @event.listens_for(engine, "connect")
    def _binary_lists(connection: psycopg.Connection[Any], _record: object) -> None:
        connection.adapters.register_dumper(list, ListBinaryDumper)

    @event.listens_for(engine, "after_cursor_execute")
    def _wait(connection: Connection, _cursor: object, _sql: object, _words: object, run: Any, _many: bool) -> None:
        pipeline = _pipeline_of(connection)
        if pipeline is not None and not run.execution_options.get("later"):
            pipeline.wait()

    return engine


#: The schemas with Rollcall's tables that are this user's to read; none if its search_path leads to some, or was set.
_ELSEWHERE = """
    SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname IN ('alembic_version', 'enrolments', 'deliveries', 'consumptions') AND c.relkind IN ('r', 'p')
      AND pg_has_role(c.relowner, 'USAGE') AND to_regclass('consumptions') IS NULL
      AND (SELECT source IN ('default', 'configuration file') FROM pg_settings WHERE name = 'search_path')
    GROUP BY n.nspname HAVING count(*) = 4 ORDER BY n.nspname
"""


class _Place:
    """The schema with Rollcall's tables: where search_path leads. If nobody set that and it leads to none, they may be
    in another schema, made when it was set; a second set of tables, empty, would be no help to anybody."""

    def __init__(self) -> None:
        self._elsewhere: str | None = None

    def enter(self, connection: psycopg.Connection[Any]) -> None:
        """Lead a new connection there. Raises ConfigurationError where there are several."""
        if self._elsewhere is None:
            found = [name for (name,) in connection.execute(_ELSEWHERE)]
            if len(found) > 1:
                connection.close()
                raise ConfigurationError(
                    f"DATABASE_URL: Rollcall's tables are in the schemas {' and '.join(found)}: say which with"
                    " ?options=-csearch_path%3D…"
                )
            self._elsewhere = next(iter(found), "")
        if self._elsewhere:
            connection.execute("SELECT set_config('search_path', quote_ident(%s), false)", (self._elsewhere,))
        connection.commit()


#: Where a statement names what belongs to one organisation, and the type of that.
_NAMED = re.compile(
    r"\b(organisation(?= = :organisation\b)|course|cycle|segment|learner|recipient|mailing|fanout) = :(\w+)"
)
_BIG = {"mailing", "fanout"}


@lru_cache(maxsize=512)
def _statement(sql: str) -> TextClause:
    """A statement, its parameters found once: as many as this code has, and no more are ever made.

    The planner is not shown which organisation it is about, or which course or mailing of it, so that it plans for one
    of average size. Shown the number of one that its statistics do not know, it believes in one row, and takes any
    index that begins with the organisation for as good as the right one: each look-up then reads all that it has.
    """
    return text(_NAMED.sub(_unseen, sql))


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


def within(connection: Connection, organisation: object) -> object:
    """This organisation, if it is the one that the transaction is about. Raises `CrossedOver`."""
    about = connection.get_execution_options().get("organisation")
    if organisation != about:
        raise CrossedOver(f"organisation {organisation} is named, and the transaction is about {about or 'none'}")
    return organisation


def enter_tenant_role(connection: Connection, organisation: int) -> None:
    """Keep, until the transaction ends, only the rights of an organisation's people: row security then shows and
    changes nothing of another's, whatever a statement says (R31)."""
    execute(
        connection,
        """
        SELECT set_config('rollcall.organisation', CAST(:organisation AS text), true),
               set_config('search_path', quote_ident(current_schema()), true), set_config('role', people(), true)
        """,
        organisation=organisation,
    )


def _run(connection: Connection, sql: str, parameters: dict[str, object], *, later: bool = False) -> CursorResult[Any]:
    """Run a statement, whose organisation is the transaction's: there is no other way to one (R31)."""
    if "organisation" in parameters:
        within(connection, parameters["organisation"])
    return connection.execute(_statement(sql), parameters, execution_options={"later": later})


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


def rows(connection: Connection, shape: type[Row], sql: str, /, **parameters: object) -> list[Row]:
    """The rows of a query, each in a `shape` whose fields are the query's columns."""
    make: Callable[..., Row] = shape
    with closing(_run(connection, sql, parameters)) as result:
        names, found = tuple(result.keys()), result.cursor.fetchall()  # as they are: `Row`s take as long again to make
    if names == getattr(shape, "__match_args__", ()):  # in the same order: three times cheaper
        return [make(*row) for row in found]
    return [make(**dict(zip(names, row, strict=True))) for row in found]


def one(connection: Connection, shape: type[Row], sql: str, /, **parameters: object) -> Row | None:
    """The first row of a query in a `shape`, or None."""
    return next(iter(rows(connection, shape, sql, **parameters)), None)


def column(connection: Connection, sql: str, /, **parameters: object) -> list[Any]:
    """The first column of a query."""
    return list(_run(connection, sql, parameters).scalars())


def value(connection: Connection, sql: str, /, **parameters: object) -> Any:
    """The first column of the first row, or None."""
    return _run(connection, sql, parameters).scalar()


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


def retrying(attempts: int = 6, *, seconds: float | None = None) -> Retrying:
    """Try a whole transaction again after a lost race or a lost connection, within a second or so, then give up; or for
    so many `seconds`, where what would be lost cannot be had again."""
    return Retrying(
        retry=retry_if_exception(is_retryable),
        stop=stop_after_attempt(attempts) if seconds is None else stop_after_delay(seconds),
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
        later(connection, "SELECT set_config('lock_timeout', :most, true)", most=f"{max(patience * 1000, 1):.0f}ms")
    try:
        yield
    except OperationalError as problem:
        if getattr(problem.orig, "sqlstate", None) != QUERY_CANCELED:
            raise
        busy = LockNotAvailable("the organisation is changed by somebody else")
        raise OperationalError(problem.statement, None, busy) from problem
    if connection is not None and patience is not None:
        later(connection, "SET LOCAL lock_timeout TO DEFAULT")


def is_locked(problem: BaseException) -> bool:
    """Whether a lock is somebody else's, and was not to be waited for any longer."""
    return isinstance(problem, OperationalError) and getattr(problem.orig, "sqlstate", None) == "55P03"


def share_organisation(connection: Connection, organisation: int) -> None:
    """Keep what is known of an organisation from changing until the transaction ends; see `lock_organisations`."""
    execute(connection, "SELECT pg_advisory_xact_lock_shared(:lock, :key)", lock=ORGANISATION_LOCK, key=organisation)


@contextmanager
def transaction(engine: Engine, organisation: int | None = None, *, pipelined: bool = False) -> Iterator[Connection]:
    """One transaction, about one organisation if it is named, committed at the end of the block. `pipelined`: BEGIN,
    what is run `later` and COMMIT are sent with what is waited for; COPY is not possible in it."""
    said: list[tuple[str, dict[str, object]]] = []
    with (
        autocommit(engine) if pipelined else engine.connect() as connection,
        connection.begin(),
        _pipeline(connection) if pipelined else nullcontext(),
        nullcontext() if organisation is None else scoped(connection, organisation),
    ):
        connection.execution_options(said=said)
        yield connection
    for what, fields in said:
        log.info(what, **fields)


def _sent(pgconn: Any) -> Generator[Wait, Ready, None]:
    """Wait until libpq has sent all that it holds, and can send more. psycopg 3.3 waits for the answers of a pipeline
    without that: if a statement is longer than what the system takes at once, each side waits for the other."""
    while True:
        left = pgconn.flush()
        ready = yield Wait.RW
        if ready & Ready.R:
            pgconn.consume_input()
        if not left and ready & Ready.W:
            return


class _Pipeline:
    """psycopg's, with what it leaves to its user if something goes wrong."""

    def __init__(self, driver: Any, pipeline: psycopg.Pipeline) -> None:
        self._driver = driver
        self._pipeline = pipeline

    def send(self) -> None:
        """Send what is left."""
        self._driver.wait(_sent(self._driver.pgconn))

    def wait(self) -> None:
        """Send what is left, and wait for the answers to all of it, if there is any. Raises the first error."""
        if self._pipeline.result_queue or self._pipeline.status == PipelineStatus.ABORTED:
            self.send()
            self._pipeline.sync()

    def drain(self) -> None:
        """The same, whatever the answers say: they belong to what has failed, and not to the statement that is next."""
        for _ in range(MOST_SYNCS):
            if self._driver.pgconn.status != ConnStatus.OK:
                return
            with suppress(psycopg.Error):
                self.wait()
                return
        self._driver.close()  # something else is wrong with it

    def forget_prepared(self) -> None:
        """Prepare all statements anew: psycopg takes those for prepared whose turn did not come before an error."""
        self._driver._prepared.clear()  # as it does itself where a whole transaction is undone


def _pipeline_of(connection: Connection) -> _Pipeline | None:
    return connection.get_execution_options().get("pipeline")


@contextmanager
def _pipeline(connection: Connection) -> Iterator[None]:
    driver: Any = connection.connection.driver_connection
    raised: BaseException | None = None
    try:
        with driver.pipeline() as entered:
            pipeline = _Pipeline(driver, entered)
            connection.execution_options(pipeline=pipeline)
            try:
                driver.execute("BEGIN")  # ours: psycopg waits for its own
                yield
                driver.execute("COMMIT")  # sent with what is left and the end of the pipeline, waited for anyway
                pipeline.send()
            except BaseException as problem:  # noqa: BLE001 - raised below: psycopg would log what else it hears, names included
                raised = problem
                pipeline.drain()
    except psycopg.Error as problem:
        raised = raised or problem
    if isinstance(raised, psycopg.Error):
        raise _as_others_are(connection, raised) from raised
    if raised is not None:
        raise raised


def _as_others_are(connection: Connection, problem: psycopg.Error) -> BaseException:
    """What went wrong where no statement was run, as SQLAlchemy raises what does where one is."""
    return DBAPIError.instance(None, None, problem, psycopg.Error, hide_parameters=True, dialect=connection.dialect)


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """Undo, if the block raises, what was done in it; what was run `later` raises within it, too."""
    pipeline = _pipeline_of(connection)
    if pipeline is None:
        with connection.begin_nested():
            yield
        return
    try:
        with connection.begin_nested():
            try:
                yield
                pipeline.wait()
            except psycopg.Error as problem:
                pipeline.drain()
                raise _as_others_are(connection, problem) from problem
            except BaseException:
                pipeline.drain()
                raise
    except BaseException:
        pipeline.forget_prepared()
        raise


@contextmanager
def autocommit(engine: Engine, organisation: int | None = None) -> Iterator[Connection]:
    """A connection on which each statement is a transaction of its own, about one organisation if it is named: that
    takes one round trip in place of three."""
    with (
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        nullcontext() if organisation is None else scoped(connection, organisation),
    ):
        yield connection


def say(connection: Connection, what: str, **fields: object) -> None:
    """Log what a transaction has done, once it is committed. No names, addresses or ids of people: numbers alone."""
    said = connection.get_execution_options().get("said")
    if said is None:
        log.info(what, **fields)
    else:
        said.append((what, fields))


@contextmanager
def snapshot(engine: Engine, organisation: int) -> Iterator[Connection]:
    """One transaction about one organisation that sees one moment, however long it looks."""
    with (
        engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection,
        connection.begin(),
        scoped(connection, organisation),
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
