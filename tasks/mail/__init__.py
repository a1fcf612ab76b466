"""The ledger of deliveries, the gate that every mail passes, and the engine that sends."""

from tasks.mail.opening import (
    enqueue,
    new_mailings,
    open_for_admins,
    open_for_audience,
    open_for_enrolled,
    open_for_pairs,
)
from tasks.mail.rules import MOVES, Kind
from tasks.mail.store import Mailing, Tally, forget, set_state, tally, unworked

__all__ = [
    "MOVES",
    "Kind",
    "Mailing",
    "Tally",
    "enqueue",
    "forget",
    "new_mailings",
    "open_for_admins",
    "open_for_audience",
    "open_for_enrolled",
    "open_for_pairs",
    "set_state",
    "tally",
    "unworked",
]
