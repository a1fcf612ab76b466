"""Course starts and the ledger that customers are billed from."""

from tasks.seats.intake import take_completions, take_starts
from tasks.seats.rules import period_of, unit_of
from tasks.seats.store import Balance, Entry, balance, entries_of, flag_contradicted, flag_unenrolled, ledger

__all__ = [
    "Balance",
    "Entry",
    "balance",
    "entries_of",
    "flag_contradicted",
    "flag_unenrolled",
    "ledger",
    "period_of",
    "take_completions",
    "take_starts",
    "unit_of",
]
