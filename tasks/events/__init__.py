"""The contract with the platform: what comes in, what goes out, and what could not be taken."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.events.awaited import Awaited
    from tasks.events.inbox import any_waiting_for_enrolment
    from tasks.events.outbox import ENROLMENTS_CHANGED, emit, emit_changed
    from tasks.events.rules import Deferred, portions, waves
    from tasks.events.schemas import Cause, Event, KnownCause, Malformed, Reason, decode
else:
    __getattr__ = lazily(__name__)

__all__ = [
    "ENROLMENTS_CHANGED",
    "Awaited",
    "Cause",
    "Deferred",
    "Event",
    "KnownCause",
    "Malformed",
    "Reason",
    "any_waiting_for_enrolment",
    "decode",
    "emit",
    "emit_changed",
    "portions",
    "waves",
]
