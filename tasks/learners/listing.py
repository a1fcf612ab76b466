"""Lists of learners, and the search in them, as SQL.

A page is found by looking at so many learners in the order of their numbers, whatever is searched for: so each page
costs about the same, the last of a million like the first, and nothing is kept up to date for it when learners are
written. An index of all three letters in a row would cost each learner that is written tens of times what it saves.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from config.database import one, rows, value
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
class NumberedLearner:
    """The same, with the number that the list is ordered by."""

    number: int
    learner: str
    status: str
    username: str | None
    email: str | None
    first_name: str | None
    last_name: str | None
    locale: str | None
    time_zone: str | None

    def summary(self) -> LearnerSummary:
        """What is shown."""
        return LearnerSummary(
            self.learner,
            self.status,
            self.username,
            self.email,
            self.first_name,
            self.last_name,
            self.locale,
            self.time_zone,
        )


@dataclass(frozen=True, slots=True)
class LearnerCounts:
    """How many learners are active, and how many inactive."""

    active: int
    inactive: int


@dataclass(frozen=True, slots=True)
class LearnerFilter:
    """Which learners: those who stand so, with this text in what is known of them, in the segment of this number."""

    standings: Sequence[str]
    search: str | None
    segment: int | None


def pattern_of(search: str) -> str:
    """A regular expression for a text, each letter of it in capitals or not, whatever the locale of the database."""
    return "".join(
        f"[{''.join(forms)}]" if len(forms) > 1 else re.escape(letter)
        for letter in search
        for forms in [sorted({one for one in (letter, letter.lower(), letter.upper()) if len(one) == 1})]
    )


def learners_after(
    connection: Connection, organisation: int, after: int, chosen: LearnerFilter, scanned: int, limit: int
) -> list[NumberedLearner]:
    """The first of these learners behind a number, of the next so many that are looked at."""
    search = None if chosen.search is None else pattern_of(chosen.search)
    asked: dict[str, object] = {"after": after, "scanned": scanned, "limit": limit, "search": search}
    asked["standings"] = [str(standing) for standing in chosen.standings]
    if chosen.segment is None:
        return rows(connection, NumberedLearner, query("learners.list_all"), organisation=organisation, **asked)
    asked["segment"] = chosen.segment
    return rows(connection, NumberedLearner, query("learners.list_segment"), organisation=organisation, **asked)


def scanned_to(connection: Connection, organisation: int, after: int, segment: int | None, scanned: int) -> int | None:
    """The number of the last learner that was looked at; None if that is the last there is."""
    if segment is None:
        last = int(
            value(
                connection,
                "SELECT learners FROM organisations WHERE organisation = :organisation",
                organisation=organisation,
            )
        )
        return after + scanned if last > after + scanned else None
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
    found = one(connection, LearnerCounts, query("learners.counts"), organisation=organisation)
    assert found is not None  # noqa: S101 - counts
    return found


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
