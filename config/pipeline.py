"""Statements that are sent without waiting for their answers, in one transaction (libpq's pipeline mode)."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.pq import ConnStatus, PipelineStatus
from psycopg.waiting import Ready, Wait
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError

#: SQLSTATE of a session that began on a server that takes no writes, as one does during a failover: there is no use in
#: keeping it.
READ_ONLY = "25006"

#: How often the end of a pipeline is waited for at most, after an error: psycopg hears as much each time as has come.
MOST_SYNCS = 10


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


class Pipeline:
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


def pipeline_of(connection: Connection) -> Pipeline | None:
    """The pipeline in which this connection's statements are sent, if there is one."""
    return connection.get_execution_options().get("pipeline")


@contextmanager
def pipelining(connection: Connection) -> Iterator[None]:
    """Send BEGIN, the statements of the block and COMMIT in a pipeline. Raises what SQLAlchemy raises."""
    driver: Any = connection.connection.driver_connection
    raised: BaseException | None = None
    try:
        with driver.pipeline() as entered:
            pipeline = Pipeline(driver, entered)
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
    """What went wrong where no statement was run, as an engine of ours raises what does where one is."""
    if problem.sqlstate == READ_ONLY:
        connection.invalidate(problem)
        return OperationalError(None, None, problem)
    return DBAPIError.instance(None, None, problem, psycopg.Error, hide_parameters=True, dialect=connection.dialect)


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """Undo, if the block raises, what was done in it, and what was to be done `after_commit` with it; what was run
    `later` raises within it, too."""
    after: list[object] = connection.get_execution_options().get("after", [])
    before = len(after)
    try:
        with _savepoint(connection):
            yield
    except BaseException:
        del after[before:]
        raise


@contextmanager
def _savepoint(connection: Connection) -> Iterator[None]:
    pipeline = pipeline_of(connection)
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
