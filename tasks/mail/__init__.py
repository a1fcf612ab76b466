"""The ledger of deliveries, the gate that every mail passes, and the engine that sends."""

from tasks.mail.look import Look
from tasks.mail.merge import MergeError
from tasks.mail.opening import (
    OPEN_FOR_CANDIDATES,
    VERDICT,
    enqueue,
    new_mailings,
    open_for_admins,
    open_for_audience,
    open_for_enrolled,
    open_for_pairs,
)
from tasks.mail.phrases import LANGUAGES, spoken
from tasks.mail.rules import MOVES, Kind
from tasks.mail.samples import AURORA, BODY, SUBJECT, sample
from tasks.mail.store import Mailing, Tally, forget, set_state, tally, unworked
from tasks.mail.templates import check_announcement as check_template

__all__ = [
    "AURORA",
    "BODY",
    "LANGUAGES",
    "MOVES",
    "OPEN_FOR_CANDIDATES",
    "SUBJECT",
    "VERDICT",
    "Kind",
    "Look",
    "Mailing",
    "MergeError",
    "Tally",
    "check_template",
    "enqueue",
    "forget",
    "new_mailings",
    "open_for_admins",
    "open_for_audience",
    "open_for_enrolled",
    "open_for_pairs",
    "sample",
    "set_state",
    "spoken",
    "tally",
    "unworked",
]
