"""Flags for review: what a person should look at, since what arrived later contradicts it; as SQL."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import column, execute, later
from config.sql import query
from tasks.seats.rules import Review
from tasks.seats.store import StartRecord


def flag(connection: Connection, organisation: int, starts: Sequence[tuple[StartRecord, Review, str]]) -> None:
    """Flag starts, each told by an event, for review: on the entry it made, or where it cost nothing on the enrolment
    (S13)."""
    if starts:
        later(
            connection,
            query("seats.flag_starts"),
            organisation=organisation,
            learners=[start.learner for start, _, _ in starts],
            courses=[start.course for start, _, _ in starts],
            cycles=[start.cycle for start, _, _ in starts],
            codes=[review.value for _, review, _ in starts],
            events=[event for _, _, event in starts],
        )


def flag_contradicted(connection: Connection, organisation: int, learners: Sequence[int]) -> None:
    """Flag what these learners consumed at a time at which, as it turns out, they were inactive (R28, S13)."""
    later(connection, query("seats.flag_contradicted"), organisation=organisation, learners=list(learners))


@dataclass(frozen=True, slots=True)
class Contradicted:
    """A start that was counted and, as it turns out, does not: the learner was inactive, or not enrolled."""

    learner: int
    course: int
    cycle: int
    time: datetime
    active: bool

    @property
    def code(self) -> Review:
        """What it is flagged for; inactive comes before anything else (S12)."""
        return Review.NOT_ENROLLED if self.active else Review.INACTIVE


def flag_contradictions(connection: Connection, organisation: int, starts: Sequence[Contradicted]) -> None:
    """Flag starts that, as it turns out, do not count: on their entry, or where they cost nothing on the enrolment
    (R28, S13)."""
    if starts:
        later(
            connection,
            query("seats.flag_contradictions"),
            organisation=organisation,
            learners=[start.learner for start in starts],
            courses=[start.course for start in starts],
            cycles=[start.cycle for start in starts],
            times=[start.time for start in starts],
            codes=[start.code.value for start in starts],
        )


def settle_released(connection: Connection, organisation: int, start: StartRecord, event: str) -> None:
    """Whoever released a start knew that the learner was inactive then: its entry is flagged for that and settled at
    once, so that no status that comes later flags it anew (S12, S13)."""
    scope: dict[str, object] = {
        "organisation": organisation,
        "learner": start.learner,
        "event": event,
        "code": Review.INACTIVE.value,
    }
    execute(
        connection,
        """
        INSERT INTO reviews (organisation, consumption, code, event)
        SELECT organisation, consumption, :code, event FROM consumptions
        WHERE organisation = :organisation AND learner = :learner AND event = :event
        ON CONFLICT DO NOTHING
        """,
        **scope,
    )
    execute(
        connection,
        """
        INSERT INTO settled_reviews (organisation, consumption, code, by_whom, why)
        SELECT organisation, consumption, :code, 'rollcall', 'released from quarantine' FROM consumptions
        WHERE organisation = :organisation AND learner = :learner AND event = :event
        ON CONFLICT DO NOTHING
        """,
        **scope,
    )


def settle(connection: Connection, organisation: int, consumption: int, *, by: str, why: str) -> list[str]:
    """A person looked at an entry: the flags that were open are settled, with who and why; which these are (R28)."""
    return column(
        connection,
        """
        INSERT INTO settled_reviews (organisation, consumption, code, by_whom, why)
        SELECT organisation, consumption, code, :by, :why FROM reviews
        WHERE organisation = :organisation AND consumption = :consumption
        ON CONFLICT DO NOTHING RETURNING code
        """,
        organisation=organisation,
        consumption=consumption,
        by=by,
        why=why,
    )


def rewrite_reasons(connection: Connection, organisation: int, left_of: Callable[[str], str]) -> None:
    """Keep what is `left_of` the reasons that people gave as they settled reviews (S15)."""
    said = column(
        connection,
        "SELECT DISTINCT why FROM settled_reviews WHERE organisation = :organisation",
        organisation=organisation,
    )
    if changed := {text: left for text in said if (left := left_of(text)) != text}:
        execute(
            connection,
            """
            UPDATE settled_reviews s SET why = new.left_
            FROM unnest(CAST(:texts AS text[]), CAST(:lefts AS text[])) AS new (text, left_)
            WHERE s.organisation = :organisation AND s.why = new.text
            """,
            organisation=organisation,
            texts=list(changed),
            lefts=list(changed.values()),
        )
