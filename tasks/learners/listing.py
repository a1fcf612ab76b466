"""Lists of learners, and the search in them, as SQL.

A page of a list is found by the numbers of those who stand so: so each page costs about the same, the last of a million
like the first, and however few they are. A search has an index, which the relay writes in the background; what it has
not reached yet is read, so that a search always finds who is there now.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from config.database import autocommit, durable_with_the_next, integer, numbered_rows, rows, the_one, transaction, value
from config.sql import query


@dataclass(frozen=True, slots=True)
class LearnerSummary:
    """A learner, as a list shows them."""

    learner: str
    status: str
    username: str | None
    email: str | None
    first_name: str | None
    last_name: str | None
    locale: str | None
    time_zone: str | None


@dataclass(frozen=True, slots=True)
class LearnerCounts:
    """How many learners are active, and how many inactive."""

    active: int
    inactive: int


@dataclass(frozen=True, slots=True)
class LearnerFilter:
    """Which learners: those who stand so, in the segment of this number."""

    standings: Sequence[str]
    segment: int | None


@dataclass(frozen=True, slots=True)
class Matches:
    """The numbers of learners who were searched for, and how far was looked: None if to the last."""

    matched: list[int]
    reached: int | None


def learners_after(
    connection: Connection, organisation: int, after: int, chosen: LearnerFilter, scanned: int, limit: int
) -> list[tuple[int, LearnerSummary]]:
    """The first of these learners behind a number, each with theirs; of a segment, among so many of its members at
    most."""
    asked: dict[str, object] = {"organisation": organisation, "after": after, "limit": limit}
    if chosen.segment is not None:
        asked |= {"segment": chosen.segment, "scanned": scanned, "standings": list(chosen.standings)}
        return numbered_rows(connection, LearnerSummary, query("learners.list_segment"), **asked)
    match chosen.standings:
        case ["active"]:
            return numbered_rows(connection, LearnerSummary, query("learners.list_active"), **asked)
        case ["inactive"]:
            return numbered_rows(connection, LearnerSummary, query("learners.list_inactive"), **asked)
    return numbered_rows(connection, LearnerSummary, query("learners.list_all"), **asked)


def learners_before(
    connection: Connection, organisation: int, before: int | None, chosen: LearnerFilter, scanned: int, limit: int
) -> tuple[list[tuple[int, LearnerSummary]], int | None]:
    """The newest of these learners before a number, or of all, each with theirs, and the number before which the next
    page begins."""
    if before is None:
        before = 1 + integer(
            connection,
            "SELECT learners FROM organisations WHERE organisation = :organisation",
            organisation=organisation,
        )
    asked: dict[str, object] = {"before": before, "scanned": scanned, "limit": limit}
    asked["standings"] = list(chosen.standings)
    found = numbered_rows(connection, LearnerSummary, query("learners.list_newest"), organisation=organisation, **asked)
    if len(found) == limit:
        return found[:-1], found[-2][0]
    return found, before - scanned if before - scanned > 1 else None


def search(
    connection: Connection, organisation: int, words: str, after: int, chosen: LearnerFilter, looked_at: int, limit: int
) -> Matches:
    """The first of these learners behind a number in whose id, username, address or name is each of these words.
    At most so many are looked at. It needs the rights of the tables' owner: row security keeps others from the index.
    """
    return the_one(
        connection,
        Matches,
        """
        SELECT matched, reached
        FROM search_learners(:organisation, :words, :standings, :of, :after, :limit, :looked_at)
        """,
        organisation=organisation,
        words=words,
        standings=list(chosen.standings),
        of=chosen.segment,
        after=after,
        limit=limit,
        looked_at=looked_at,
    )


def numbered(
    connection: Connection, organisation: int, learners: Sequence[int], chosen: LearnerFilter
) -> list[tuple[int, LearnerSummary]]:
    """The learners with these numbers, who stand so, each with theirs."""
    return numbered_rows(
        connection,
        LearnerSummary,
        query("learners.list_numbered"),
        organisation=organisation,
        learners=list(learners),
        standings=list(chosen.standings),
    )


def index_learners(engine: Engine, most: int) -> int:
    """Index so many learners at most of one organisation that has some who are not, or not as they are now described;
    how many there were."""
    with autocommit(engine) as connection:
        organisation: int | None = value(
            connection,
            """
            SELECT coalesce(
                (SELECT organisation FROM unsearchable LIMIT 1),
                (SELECT o.organisation FROM organisations o LEFT JOIN search_ends e USING (organisation)
                 WHERE o.learners > coalesce(e.through, 0) LIMIT 1))
            """,
        )
    if organisation is None:
        return 0
    with transaction(engine, organisation) as connection:
        durable_with_the_next(connection)  # what is lost is indexed anew
        behind = value(
            connection,
            """
            INSERT INTO search_ends (organisation, through) VALUES (:organisation, 0)
            ON CONFLICT (organisation) DO UPDATE SET through = search_ends.through RETURNING through
            """,
            organisation=organisation,
        )
        done = integer(connection, query("learners.index"), organisation=organisation, behind=behind, most=most)
    with transaction(engine) as connection:  # what waits to be sorted into the index makes each search slower
        value(connection, "SELECT gin_clean_pending_list('searchable_keys')")
    return done


def scanned_to(connection: Connection, organisation: int, after: int, segment: int, scanned: int) -> int | None:
    """The number of the last learner of a segment that was looked at; None if that is the last there is."""
    end: int | None = value(
        connection,
        """
        SELECT CASE WHEN count(*) = :scanned THEN max(learner) END FROM (
            SELECT m.learner FROM memberships m
            WHERE m.organisation = :organisation AND m.segment = :segment AND m.learner > :after
            ORDER BY m.learner LIMIT :scanned) looked
        """,
        organisation=organisation,
        segment=segment,
        after=after,
        scanned=scanned,
    )
    return end


def counts(connection: Connection, organisation: int) -> LearnerCounts:
    """How many learners stand how. Learners are numbered densely, so that only those who are not active are counted."""
    return the_one(connection, LearnerCounts, query("learners.counts"), organisation=organisation)


def summaries(connection: Connection, organisation: int, numbers: Sequence[int]) -> list[LearnerSummary]:
    """These learners, in the order of their numbers."""
    return rows(
        connection,
        LearnerSummary,
        """
        SELECT id AS learner, CAST(standing AS text) AS status, username, email, first_name, last_name, locale,
               time_zone
        FROM learners WHERE organisation = :organisation AND learner = ANY(CAST(:numbers AS int[])) ORDER BY learner
        """,
        organisation=organisation,
        numbers=list(numbers),
    )
