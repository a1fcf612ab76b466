"""Deletes the answers that were kept for a repeated request, after a day."""

from config.database import autocommit
from tasks.acts.idempotency import MOST, forget_old
from workers.relay.chore import Chore


class ForgetRepeats(Chore):
    """Deletes answers whose day is over."""

    name = "repeats"
    seconds = 600.0

    def do(self) -> float | None:
        """Delete some; at once again if there may be more."""
        with autocommit(self.runtime.engine) as connection:
            return 0.0 if forget_old(connection) == MOST else None
