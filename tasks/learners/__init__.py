"""Learners: how they stand, since when, and in which segments they are."""

from tasks.learners.rules import Change, Standing, effective_version, holds
from tasks.learners.segments import (
    ensure_segments,
    members_at,
    record_membership,
    save_segment,
    saved_segment,
    segments_of,
)
from tasks.learners.store import (
    Description,
    HistoryEntry,
    Learner,
    Profile,
    StatusChange,
    describe,
    ensure,
    erase,
    find,
    history,
    profile,
    record_status,
    restate,
    statuses_at,
)

__all__ = [
    "Change",
    "Description",
    "HistoryEntry",
    "Learner",
    "Profile",
    "Standing",
    "StatusChange",
    "describe",
    "effective_version",
    "ensure",
    "ensure_segments",
    "erase",
    "find",
    "history",
    "holds",
    "members_at",
    "profile",
    "record_membership",
    "record_status",
    "restate",
    "save_segment",
    "saved_segment",
    "segments_of",
    "statuses_at",
]
