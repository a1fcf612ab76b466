"""Forgets events in as their time is over (R35)."""

import structlog

from config.database import autocommit, transaction
from tasks import events
from workers.relay.chore import Chore

log = structlog.get_logger()


class ForgetEvents(Chore):
    """Discards what was quarantined for too long, and deletes what was decided on or came before there were periods."""

    name = "events"
    seconds = 600.0

    def do(self) -> float | None:
        """Forget some; at once again if there may be more."""
        settings = self.runtime.settings
        payload_days, id_days = settings.rollcall_keep_events_days, settings.rollcall_keep_ids_days
        with autocommit(self.runtime.engine) as connection:
            if not events.anything_to_forget(connection, payload_days, id_days):
                return None
        with transaction(self.runtime.engine) as connection:
            discarded = events.forget_payloads(connection, payload_days)
        if discarded:
            log.warning("events.discarded", events=discarded, days=payload_days)
        with transaction(self.runtime.engine) as connection:
            deleted = events.forget_ids(connection, id_days)
        return 0.0 if events.MOST_FORGOTTEN in {discarded, deleted} else None
