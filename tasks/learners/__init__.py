"""Learners: how they stand, since when, and in which segments they are."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.learners.intake import learner_deleted, learner_saved, segment_saved, status_changed
    from tasks.learners.rules import Change, Standing, chunks
    from tasks.learners.segments import (
        ensure_segments,
        members_at,
        memberships_off,
        mend_memberships,
        record_membership,
        saved_segments,
        segments_of,
    )
    from tasks.learners.store import (
        HistoryEntry,
        Learner,
        Profile,
        ensure,
        find,
        history,
        newest_changes,
        profile,
        restate,
        selected_by_id,
        selected_by_number,
        standings_off,
        told_late,
    )
else:
    __getattr__ = lazily(__name__)

__all__ = [
    "Change",
    "HistoryEntry",
    "Learner",
    "Profile",
    "Standing",
    "chunks",
    "ensure",
    "ensure_segments",
    "find",
    "history",
    "learner_deleted",
    "learner_saved",
    "members_at",
    "memberships_off",
    "mend_memberships",
    "newest_changes",
    "profile",
    "record_membership",
    "restate",
    "saved_segments",
    "segment_saved",
    "segments_of",
    "selected_by_id",
    "selected_by_number",
    "standings_off",
    "status_changed",
    "told_late",
]
