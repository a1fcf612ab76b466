"""Keeps the audit log: for as long as is set, and with a count of what was refused too often to be written."""

from config.database import autocommit, transaction
from tasks import audit
from workers.relay.chore import Chore


class KeepAudit(Chore):
    """Writes down how many refused attempts were left out, and drops entries whose time is over from the first
    partition: those after it go whole (`KeepPartitions`)."""

    name = "audit"
    seconds = 60.0

    def do(self) -> float | None:
        """Do some of both; at once again if there may be more."""
        days = self.runtime.settings.rollcall_keep_audit_days
        with autocommit(self.runtime.engine) as connection:
            if not audit.has_old(connection, days):
                return None
        with transaction(self.runtime.engine) as connection:
            more = audit.settle_refusals(connection)
        with transaction(self.runtime.engine) as connection:
            more |= audit.forget(connection, days)
        return 0.0 if more else None
