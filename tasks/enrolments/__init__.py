"""Who is enrolled in what, by which rule or request, and who has access."""

from tasks.enrolments.fanouts import finish_fanouts, running_fanouts
from tasks.enrolments.intake import (
    course_saved,
    learners_arrived,
    many_arrived,
    membership_changed,
    reactivated,
    requested,
    withdrawn,
)
from tasks.enrolments.store import Accessible, Enrolment, Newcomer, enrolments_of

__all__ = [
    "Accessible",
    "Enrolment",
    "Newcomer",
    "course_saved",
    "enrolments_of",
    "finish_fanouts",
    "learners_arrived",
    "many_arrived",
    "membership_changed",
    "reactivated",
    "requested",
    "running_fanouts",
    "withdrawn",
]
