"""What a user can do something about."""

from collections.abc import Sequence
from dataclasses import dataclass


class UserError(Exception):
    """Its message is one line for whoever asked: what happened, to what, and what to do."""


class ConfigurationError(UserError):
    """A setting is missing or wrong; the message names it and says what to do."""


class NotFound(UserError):
    """What is named is not there, or is not the caller's: both are told in the same words."""


class Forbidden(UserError):
    """The caller's role does not allow it."""


class Conflict(UserError):
    """The state of what is named does not allow it."""


class Stale(Conflict):
    """It was changed since the caller saw it."""


class Unavailable(UserError):
    """It cannot be done now, and soon it can."""


@dataclass(frozen=True, slots=True)
class BadField:
    """What is wrong with one field; `pointer` is its place in what was sent (RFC 6901)."""

    pointer: str
    detail: str


class Invalid(UserError):
    """What was sent cannot be meant; `errors` names the fields."""

    def __init__(self, message: str, errors: Sequence[BadField] = ()) -> None:
        super().__init__(message)
        self.errors = errors
