"""Course starts and the ledger that customers are billed from."""

from typing import TYPE_CHECKING

from config.lazily import lazily

# `ledger` is called as its module is
from tasks.seats.ledger import (
    Entry,
    KeptBalance,
    LedgerFilter,
    Period,
    kept_balances,
    ledger,
    ledger_between,
    periods,
    stream_ledger,
    warned,
)

if TYPE_CHECKING:
    from tasks.seats.flags import Contradicted, flag_contradicted, flag_contradictions, rewrite_reasons, settle
    from tasks.seats.intake import course_completed, course_started
    from tasks.seats.pools import recount, terms_changed
    from tasks.seats.rules import percent_used, price, unit_of
    from tasks.seats.store import CHARGED, balance, charging
    from tasks.seats.verification import CHECKS, Discrepancy, checked, checks
else:
    __getattr__ = lazily(__name__)
