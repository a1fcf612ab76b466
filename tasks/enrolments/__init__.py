"""Who is enrolled in what, by which rule or request, and who has access."""

from tasks.enrolments.intake import course_saved, learners_arrived, membership_changed, requested, withdrawn
from tasks.enrolments.store import Activated, Enrolment, Newcomer, activate, enrolments_of, finish_fanouts

__all__ = [
    "Activated",
    "Enrolment",
    "Newcomer",
    "activate",
    "course_saved",
    "enrolments_of",
    "finish_fanouts",
    "learners_arrived",
    "membership_changed",
    "requested",
    "withdrawn",
]
