"""Learners: how they stand, since when, and in which segments they are."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.learners.deletions import end_memberships, erase, keep_outdone
    from tasks.learners.importing import ADD_DESCRIBED, DESCRIBE, RECORD_STATUSES, begin_history
    from tasks.learners.intake import learner_deleted, learner_saved, segment_saved, status_changed
    from tasks.learners.listing import (
        LearnerCounts,
        LearnerFilter,
        LearnerSummary,
        counts,
        index_learners,
        learners_after,
        learners_before,
        numbered,
        scanned_to,
        search,
        summaries,
    )
    from tasks.learners.rules import Change, Standing, chunks, effective_version, holds
    from tasks.learners.segments import (
        MemberCounts,
        SegmentDetails,
        ensure_segments,
        member_counts,
        members_among,
        members_at,
        memberships_off,
        mend_memberships,
        newest_membership,
        record_membership,
        saved_segments,
        segment_details,
        segments_after,
        segments_of,
    )
    from tasks.learners.store import (
        DatedStanding,
        HistoryEntry,
        Learner,
        Profile,
        Selection,
        dated_standings,
        ensure,
        find,
        history,
        profile,
        restate,
        selected_by_id,
        selected_by_number,
        standings_off,
        told_late,
    )
else:
    __getattr__ = lazily(__name__)
