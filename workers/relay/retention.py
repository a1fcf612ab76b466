"""Makes partitions, and drops those whose time is over."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from config.database import autocommit, is_locked, nobody_to_blame, transaction
from config.runtime import Runtime
from tasks import events, mail, retention
from workers.relay.chore import Chore

log = structlog.get_logger()

#: Seconds until it is tried again where somebody has a lock: whoever needs the table has waited for us meanwhile.
AGAIN_SECONDS = 60.0


class KeepPartitions(Chore):
    """Makes partitions ahead, and drops those whose time is over: one in a transaction, so that each has its locks for
    as long as the catalogue takes. PostgreSQL removes the files of a large one for seconds after that, and answers
    then."""

    name = "partitions"
    seconds = 3600.0
    beside = True

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self._rests_until = 0.0

    def do(self) -> float | None:
        """Do all there is, one after the other; again in a minute if somebody has a lock. News make none of it due."""
        left = self._rests_until - time.monotonic()
        if left > 0:
            return left
        again = None if self._all_done() else AGAIN_SECONDS
        self._rests_until = time.monotonic() + (again or self.seconds)
        return again

    def _all_done(self) -> bool:
        settings = self.runtime.settings
        kept = {
            "attempts": settings.rollcall_keep_deliveries_days,
            "audit": settings.rollcall_keep_audit_days,
            "deliveries": settings.rollcall_keep_deliveries_days,
            "outbox": settings.rollcall_keep_outbox_days,
        }
        with autocommit(self.runtime.engine) as connection:
            found = retention.partitions(connection)
        tables = {table: list(several) for table, several in groupby(found, key=lambda one: one.of_table)}
        done = True
        for table, partitions in tables.items():
            for low, high in retention.months_to_make(partitions, partitions[0].now):
                done &= self._try(partial(retention.make, of_table=table, low=low, high=high))
        done &= self._try(mail.number_by_month)
        for table, partitions in tables.items():
            for one in retention.to_drop(partitions, partitions[0].now, kept[table]):
                done &= self._try(partial(drop, partition=one, days=kept[table]))
        done &= self._try(partial(mail.forget_ledgers, days=kept["deliveries"]))
        return done & self._ids_done(settings.rollcall_keep_ids_days)

    def adopt(self, months: Sequence[int]) -> None:
        """Make the partitions of these months of mailings, by their lowest numbers, where there are none: those of an
        organisation that comes from another cell. What finds none is deleted ledger by ledger in the end."""
        with autocommit(self.runtime.engine) as connection:
            found = [(one.lowest, one.below) for one in retention.partitions(connection) if one.below is not None]
        for lowest in months:
            if not any((low is None or low <= lowest) and lowest < below for low, below in found):
                self._try(partial(retention.make_numbered, of_table="deliveries", lowest=lowest))

    def _ids_done(self, days: int) -> bool:
        with autocommit(self.runtime.engine) as connection:
            found = retention.periods(connection)
        done = self._try(retention.begin_period) if retention.is_over(found, days) else True
        for one in retention.over(found, days):
            done &= self._try(partial(retention.drop_period, name=one.name))
        return done

    def _try(self, do: Callable[[Connection], bool | None]) -> bool:
        """Do it, unless somebody has a lock; whether it is done."""
        try:
            with transaction(self.runtime.engine) as connection:
                return do(connection) is not False
        except OperationalError as problem:
            if not is_locked(problem):
                raise
            log.info("partition.locked")
            return False


def drop(connection: Connection, partition: retention.Partition, days: int) -> bool:
    """Drop a partition, unless an event in it is still to be published, or a mailing in it is younger than so many
    days, or goes on; whether it was, or is to stay for now."""
    if partition.of_table == "outbox":
        assert partition.until is not None  # noqa: S101 - it has had its time
        if not events.is_done_with(connection, partition.until):
            log.warning("partition.unpublished", name=partition.name)
            return False
    if partition.of_table == "deliveries":
        with nobody_to_blame(connection, retention.PATIENCE):
            if not mail.is_done_with(connection, partition.name, partition.lowest, partition.below, days):
                log.info("partition.goes_on", name=partition.name)
                return True
    retention.drop(connection, partition)
    return True
