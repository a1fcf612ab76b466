"""Course starts and the ledger that customers are billed from."""

from tasks.seats.flags import flag_contradicted, flag_unenrolled, settle
from tasks.seats.intake import take_completions, take_starts
from tasks.seats.pools import recount, terms_changed
from tasks.seats.rules import period_of, unit_of
from tasks.seats.store import Balance, Entry, balance, entries_of, ledger
from tasks.seats.verification import CHECKS, Checked, Discrepancy, Found, checked, checks

__all__ = [
    "CHECKS",
    "Balance",
    "Checked",
    "Discrepancy",
    "Entry",
    "Found",
    "balance",
    "checked",
    "checks",
    "entries_of",
    "flag_contradicted",
    "flag_unenrolled",
    "ledger",
    "period_of",
    "recount",
    "settle",
    "take_completions",
    "take_starts",
    "terms_changed",
    "unit_of",
]
