"""The contract with the platform: what comes in, what goes out, and what could not be taken."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.events.erasing import forget_usernames, usernames_published
    from tasks.events.inbox import any_waiting_for_enrolment
    from tasks.events.outbox import EMIT, emit
    from tasks.events.rules import Held, Outcome, portions, waves
    from tasks.events.schemas import Cause, Event, Malformed, Reason, decode
else:
    __getattr__ = lazily(__name__)
