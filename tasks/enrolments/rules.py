"""What decides about enrolments: who is eligible for a request."""

from enum import StrEnum


class NotEligible(StrEnum):
    """Why a request does not enrol a learner (R14)."""

    UNKNOWN = "unknown"
    INACTIVE = "inactive"
    WITHDRAWN = "withdrawn"
