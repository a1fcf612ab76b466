"""The contract with the platform: what comes in, what goes out, and what could not be taken."""

from tasks.events.rules import Held, Outcome, waves
from tasks.events.schemas import Event, Malformed, Reason, decode
from tasks.events.store import any_waiting_for_enrolment, emit

__all__ = ["Event", "Held", "Malformed", "Outcome", "Reason", "any_waiting_for_enrolment", "decode", "emit", "waves"]
