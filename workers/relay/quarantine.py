"""Quarantines events that have waited for their time (R6)."""

from tasks.events import has_overdue, quarantine_overdue
from workers.relay.chore import ForEverybody


class Quarantine(ForEverybody):
    """Quarantines what is overdue, of which no news tell."""

    name = "quarantine"
    seconds = 2.5
    all_of_it = staticmethod(quarantine_overdue)
    any_of_it = staticmethod(has_overdue)
