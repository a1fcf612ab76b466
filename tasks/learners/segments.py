"""Segments and who is in them, as SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import column, execute, integer, one, rows, the_one, tuples, value
from config.sql import query


def ensure_segments(connection: Connection, organisation: int, ids: Sequence[str]) -> dict[str, int]:
    """The numbers of these segments. One nobody saved yet gets one, so that what is said of it is kept (S2)."""
    execute(
        connection,
        """
        INSERT INTO segments (organisation, id) SELECT :organisation, id FROM unnest(CAST(:ids AS text[])) AS new (id)
        ON CONFLICT (organisation, id) DO NOTHING
        """,
        organisation=organisation,
        ids=list(dict.fromkeys(ids)),
    )
    return _numbers(connection, organisation, ids, saved=False)


def _numbers(connection: Connection, organisation: int, ids: Sequence[str], *, saved: bool) -> dict[str, int]:
    found = tuples(
        connection,
        """
        SELECT s.id, s.segment
        FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:ids AS text[])) AS id) asked
        JOIN segments s ON s.organisation = asked.organisation AND s.id = asked.id
        WHERE s.saved_at IS NOT NULL OR NOT :saved
        """,
        organisation=organisation,
        ids=list(dict.fromkeys(ids)),
        saved=saved,
    )
    return dict(found)


def save_segment(connection: Connection, organisation: int, segment: int, name: str, time: datetime) -> None:
    """Name a segment, unless a newer name holds (R6)."""
    execute(
        connection,
        """
        UPDATE segments SET name = :name, saved_at = :time
        WHERE organisation = :organisation AND segment = :segment
          AND (saved_at IS NULL OR (saved_at, name) < (:time, :name))
        """,
        organisation=organisation,
        segment=segment,
        name=name,
        time=time,
    )


def saved_segments(connection: Connection, organisation: int, ids: Sequence[str]) -> dict[str, int]:
    """The numbers of those of these segments that were saved."""
    return _numbers(connection, organisation, ids, saved=True)


def record_membership(
    connection: Connection, organisation: int, segment: int, learners: Sequence[int], time: datetime, *, member: bool
) -> list[int]:
    """Add to the history of a segment; the learners for whom this is the newest and changes what holds (R6).
    Of joining and leaving at the same time, leaving holds."""
    execute(
        connection,
        """
        INSERT INTO membership_changes AS known (organisation, segment, learner, occurred_at, member)
        SELECT :organisation, :segment, learner, :time, :member FROM unnest(CAST(:learners AS int[])) AS new (learner)
        ON CONFLICT (organisation, segment, learner, occurred_at)
        DO UPDATE SET member = false WHERE known.member AND NOT excluded.member
        """,
        organisation=organisation,
        segment=segment,
        learners=list(learners),
        time=time,
        member=member,
    )
    return column(
        connection,
        query("learners.record_membership"),
        organisation=organisation,
        segment=segment,
        learners=list(learners),
        time=time,
        member=member,
    )


def members_at(connection: Connection, organisation: int, segment: int, moment: datetime) -> list[int]:
    """Who was in a segment at a moment (S3)."""
    return column(
        connection,
        query("learners.members_at"),
        organisation=organisation,
        segment=segment,
        moment=moment,
    )


def memberships_off(connection: Connection, organisation: int) -> int:
    """How many memberships are not what the history of their segment says."""
    return integer(connection, "SELECT count(*) FROM memberships_off(:organisation)", organisation=organisation)


def mend_memberships(connection: Connection, organisation: int) -> None:
    """Make every membership what the history of its segment says."""
    execute(
        connection,
        """
        INSERT INTO memberships (organisation, segment, learner, member, since)
        SELECT :organisation, segment, learner, member, since FROM memberships_off(:organisation)
        ON CONFLICT (organisation, segment, learner) DO UPDATE SET member = excluded.member, since = excluded.since
        """,
        organisation=organisation,
    )


def segments_of(connection: Connection, organisation: int, learner: int) -> list[str]:
    """The ids of the segments a learner is in, sorted."""
    return column(
        connection,
        """
        SELECT s.id FROM memberships m JOIN segments s USING (organisation, segment)
        WHERE m.organisation = :organisation AND m.learner = :learner AND m.member AND s.saved_at IS NOT NULL
        ORDER BY s.id
        """,
        organisation=organisation,
        learner=learner,
    )


@dataclass(frozen=True, slots=True)
class SegmentDetails:
    """A segment, as described last."""

    segment: str
    name: str
    saved_at: datetime


_DETAILS = """
SELECT id AS segment, name, saved_at FROM segments WHERE organisation = :organisation AND saved_at IS NOT NULL
"""
_ONE = _DETAILS + " AND id = :id"
_AFTER = _DETAILS + " AND id > :after ORDER BY id LIMIT :limit"


def segment_details(connection: Connection, organisation: int, id_: str) -> SegmentDetails | None:
    """A segment; None if it was not saved."""
    return one(connection, SegmentDetails, _ONE, organisation=organisation, id=id_)


def segments_after(connection: Connection, organisation: int, id_: str, limit: int) -> list[SegmentDetails]:
    """So many segments whose ids follow this one, in the order of ids."""
    return rows(connection, SegmentDetails, _AFTER, organisation=organisation, after=id_, limit=limit)


@dataclass(frozen=True, slots=True)
class MemberCounts:
    """How many members of a segment are active, and how many inactive (R9). `more`: more than were counted."""

    active: int
    inactive: int
    more: bool


def member_counts(connection: Connection, organisation: int, segment: int, most: int) -> MemberCounts:
    """Count the members of a segment, as far as so many memberships."""
    return the_one(
        connection,
        MemberCounts,
        """
        SELECT count(*) FILTER (WHERE looked.member AND l.standing = 'active') AS active,
               count(*) FILTER (WHERE looked.member AND l.standing = 'inactive') AS inactive,
               count(*) = :most AS more
        FROM (SELECT m.learner, m.member FROM memberships m
              WHERE m.organisation = :organisation AND m.segment = :segment ORDER BY m.learner LIMIT :most) looked
        LEFT JOIN learners l ON l.organisation = :organisation AND l.learner = looked.learner
        """,
        organisation=organisation,
        segment=segment,
        most=most,
    )


def members_among(connection: Connection, organisation: int, segment: int, learners: Sequence[int]) -> list[int]:
    """Those of these learners who are in a segment now."""
    return column(
        connection,
        """
        SELECT learner FROM memberships
        WHERE organisation = :organisation AND segment = :segment AND learner = ANY(CAST(:learners AS int[]))
          AND member
        """,
        organisation=organisation,
        segment=segment,
        learners=list(learners),
    )


def newest_membership(
    connection: Connection, organisation: int, segment: int, learners: Sequence[int]
) -> datetime | None:
    """When any of these learners joined or left a segment last."""
    newest: datetime | None = value(
        connection,
        """
        SELECT max(since) FROM memberships
        WHERE organisation = :organisation AND segment = :segment AND learner = ANY(CAST(:learners AS int[]))
        """,
        organisation=organisation,
        segment=segment,
        learners=list(learners),
    )
    return newest
