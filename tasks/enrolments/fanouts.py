"""Fan-outs: what is to be done for many, how far it is, and what came of it; as SQL."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import column, execute, integer, is_true, one, rows, say, the_one
from tasks.chores import one_by_one
from tasks.enrolments.fragments import UNDER_WAY
from tasks.enrolments.store import Newcomer
from tasks.events import EMIT_TRACED


@dataclass(frozen=True, slots=True)
class Fanout:
    """Enrolling many for one reason, an event: by the rules of some courses as they stand, or by a request."""

    organisation: int
    fanout: int
    courses: list[int]
    cycle: int
    cause: str
    request: str | None
    occurred_at: datetime
    mailing: int | None
    learners: list[int] | None
    sources: list[str] | None
    events: list[str] | None
    times: list[datetime] | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many enrolments a statement recorded; and whether it saw any that is withdrawn."""

    enrolled: int
    silent: int
    withdrawn: bool = False


NOBODY = Recorded(0, 0)

#: Of so many learners in a row that one is listed, reading them all is cheaper than looking each up.
DENSE = 4


@dataclass(frozen=True, slots=True)
class Counts:
    """What one chunk of a fan-out did: who is enrolled for the first time, who again, who was enrolled already."""

    new: Recorded
    again: Recorded
    already: int


def begin(
    connection: Connection,
    organisation: int,
    *,
    courses: Sequence[int],
    cycle: int,
    cause: str,
    occurred_at: datetime,
    mailing: int | None,
    learners: Sequence[int] | None = None,
    request: str | None = None,
    selected: int = 0,
    reasons: str = "{}",
) -> Fanout:
    """Write down a fan-out that is to be done."""
    fanout = the_one(
        connection,
        Fanout,
        """
        INSERT INTO fanouts (organisation, courses, cycle, cause, request, occurred_at, mailing, learners, selected,
                             reasons)
        VALUES (:organisation, CAST(:courses AS int[]), :cycle, :cause, :request, :occurred_at, :mailing, :learners,
                :selected, CAST(:reasons AS jsonb))
        RETURNING organisation, fanout, courses, cycle, cause, request, occurred_at, mailing, learners, sources, events,
                  times
        """,
        organisation=organisation,
        courses=list(courses),
        cycle=cycle,
        cause=cause,
        request=request,
        occurred_at=occurred_at,
        mailing=mailing,
        learners=None if learners is None else list(learners),
        selected=selected,
        reasons=reasons,
    )
    say(connection, "fanout.begun", organisation=organisation, fanout=fanout.fanout, courses=len(courses))
    return fanout


def begin_for_each(connection: Connection, organisation: int, cause: str, newcomers: Sequence[Newcomer]) -> int:
    """Write down what is to be done for learners of whom each has an event of its own to thank; its number."""
    return integer(
        connection,
        """
        INSERT INTO fanouts (organisation, courses, cycle, cause, occurred_at, learners, sources, events, times)
        VALUES (:organisation, '{}', 1, :cause, now(), :learners, :sources, :events, :times) RETURNING fanout
        """,
        organisation=organisation,
        cause=cause,
        learners=[newcomer.learner for newcomer in newcomers],
        sources=[newcomer.cause[0] for newcomer in newcomers],
        events=[newcomer.cause[1] for newcomer in newcomers],
        times=[newcomer.occurred_at for newcomer in newcomers],
    )


def newcomers_of(fanout: Fanout) -> list[Newcomer]:
    """The learners of a part of such a fan-out, each with its event."""
    parts = zip(fanout.learners or [], fanout.sources or [], fanout.events or [], fanout.times or [], strict=True)
    return [Newcomer(learner, (source, event), time) for learner, source, event, time in parts]


def load(connection: Connection, organisation: int, fanout: int, low: int, high: int) -> Fanout | None:
    """A fan-out, with just the part of its list that lies at these places."""
    return one(
        connection,
        Fanout,
        """
        SELECT organisation, fanout, courses, cycle, cause, request, occurred_at, mailing,
               learners[CAST(:low AS int) : CAST(:high AS int)] AS learners,
               sources[CAST(:low AS int) : CAST(:high AS int)] AS sources,
               events[CAST(:low AS int) : CAST(:high AS int)] AS events,
               times[CAST(:low AS int) : CAST(:high AS int)] AS times
        FROM fanouts WHERE organisation = :organisation AND fanout = :fanout
        """,
        organisation=organisation,
        fanout=fanout,
        low=low,
        high=high,
    )


def request_known(connection: Connection, organisation: int, request: str) -> bool:
    """Whether a request with this id was taken before (S16)."""
    return is_true(
        connection,
        "SELECT EXISTS (SELECT FROM fanouts WHERE organisation = :organisation AND request = :request)",
        organisation=organisation,
        request=request,
    )


def count_up(connection: Connection, fanout: Fanout, counts: Counts) -> None:
    """Add what a chunk did to its fan-out."""
    execute(
        connection,
        """
        UPDATE fanouts SET enrolled = enrolled + :enrolled, silent = silent + :silent, already = already + :already
        WHERE organisation = :organisation AND fanout = :fanout
        """,
        organisation=fanout.organisation,
        fanout=fanout.fanout,
        enrolled=counts.new.enrolled + counts.again.enrolled,
        silent=counts.new.silent + counts.again.silent,
        already=counts.already,
    )


#: What became of the requests among the `finished`: every learner selected is counted once (R14).
_RESULT = (
    EMIT_TRACED
    + """
SELECT finished.organisation, 'rollcall.enrolment.finished', json_build_object(
    'request', request, 'course', c.id, 'selected', selected, 'enrolled', enrolled, 'silent', silent,
    'already', already, 'not_eligible',
    CASE WHEN selected - enrolled - silent - already - known.total > 0
         THEN reasons || jsonb_build_object('withdrawn', selected - enrolled - silent - already - known.total)
         ELSE reasons END), finished.traceparent
FROM finished JOIN courses c ON c.organisation = finished.organisation AND c.course = courses[1]
CROSS JOIN LATERAL (
    SELECT coalesce(sum(CAST(n AS int)), 0) AS total FROM jsonb_each_text(reasons) AS r (reason, n)
) known
WHERE request IS NOT NULL ORDER BY finished.fanout
"""
)


@dataclass(frozen=True, slots=True)
class _Finished:
    """What a fan-out came to; counted is what was asked for, and not what follows from rules."""

    organisation: int
    fanout: int
    cause: str
    selected: int
    enrolled: int
    silent: int
    already: int


def finish_fanouts(connection: Connection, *, in_savepoints: bool = False) -> int:
    """Close the fan-outs of which no piece is left, and say what became of those somebody asked for (R14)."""
    numbers = column(
        connection,
        f"""
        SELECT fanout FROM fanouts f
        WHERE finished_at IS NULL AND NOT {UNDER_WAY}
          AND EXISTS (SELECT FROM organisations o WHERE o.organisation = f.organisation)
        ORDER BY fanout
        """,
    )
    if in_savepoints:
        return one_by_one(connection, "finish fan-out", numbers, lambda number: _finish(connection, [number]))
    return _finish(connection, numbers) if numbers else 0


def _finish(connection: Connection, fanouts: list[int]) -> int:
    finished = rows(
        connection,
        _Finished,
        """
        WITH finished AS (
            UPDATE fanouts SET finished_at = now() WHERE finished_at IS NULL AND fanout = ANY(:fanouts) RETURNING *
        ), told AS (
        """
        + _RESULT
        + ") SELECT organisation, fanout, cause, selected, enrolled, silent, already FROM finished",
        fanouts=fanouts,
    )
    for fanout in finished:
        counts = asdict(fanout) if fanout.cause == "request" else {}
        numbers = {"organisation": fanout.organisation, "fanout": fanout.fanout, "cause": fanout.cause}
        say(connection, "fanout.finished", **counts | numbers)
    return len(finished)


def answer_again(connection: Connection, organisation: int, request: str) -> None:
    """Answer a request that was made before with its first result; one that is still under way answers both (S16)."""
    execute(
        connection,
        """
        WITH finished AS (
            SELECT * FROM fanouts
            WHERE organisation = :organisation AND request = :request AND finished_at IS NOT NULL
        )
        """
        + _RESULT,
        organisation=organisation,
        request=request,
    )


def any_running(connection: Connection, organisation: int) -> bool:
    """Whether a part of a fan-out of this organisation is still to be done."""
    return is_true(
        connection,
        """
        SELECT EXISTS (
            SELECT FROM work
            WHERE organisation = :organisation AND actor IN ('enrolments.survey', 'enrolments.chunk'))
        """,
        organisation=organisation,
    )


def running_fanouts(connection: Connection) -> int:
    """How many fan-outs are not finished."""
    return integer(
        connection, "SELECT count(*) FROM fanouts JOIN organisations USING (organisation) WHERE finished_at IS NULL"
    )


@dataclass(frozen=True, slots=True)
class FanoutUnderWay:
    """A fan-out that is not finished, and how far it is. `place`: with its number, its place in the list."""

    place: int
    fanout: int
    organisation: str
    cause: str
    request: str | None
    since: datetime
    selected: int
    enrolled: int
    silent: int
    already: int


def fanouts_under_way(connection: Connection, after: tuple[int, int], limit: int) -> list[FanoutUnderWay]:
    """The fan-outs of every organisation that are not finished, from behind this place."""
    return rows(
        connection,
        FanoutUnderWay,
        """
        SELECT f.organisation AS place, f.fanout, o.id AS organisation, f.cause, f.request, f.occurred_at AS since,
               f.selected, f.enrolled, f.silent, f.already
        FROM fanouts f JOIN organisations o USING (organisation)
        WHERE f.finished_at IS NULL AND (f.organisation, f.fanout) > (:organisation_before, :fanout_before)
        ORDER BY f.organisation, f.fanout LIMIT :limit
        """,
        organisation_before=after[0],
        fanout_before=after[1],
        limit=limit,
    )


@dataclass(frozen=True, slots=True)
class EnrolmentCounts:
    """What came of a request: every learner selected is counted once (R14). `not_eligible`: how many, by why."""

    request: str | None
    course: str | None
    selected: int
    enrolled: int
    silent: int
    already: int
    not_eligible: dict[str, int]


@dataclass(frozen=True, slots=True)
class FanoutDetails:
    """How far a fan-out is, and what came of it. `total` and `left`: of how many learners it is, and is still to be
    done; the counts are those of a request (R14)."""

    fanout: int
    request: str | None
    course: str | None
    selected: int
    enrolled: int
    silent: int
    already: int
    reasons: dict[str, int]
    total: int
    left: int

    def counts(self) -> EnrolmentCounts:
        """The counts, once nothing is left to be done."""
        withdrawn = self.selected - self.enrolled - self.silent - self.already - sum(self.reasons.values())
        reasons = self.reasons | ({"withdrawn": withdrawn} if withdrawn > 0 else {})
        return EnrolmentCounts(
            self.request, self.course, self.selected, self.enrolled, self.silent, self.already, reasons
        )


_DETAILS = """
SELECT f.fanout, f.request, c.id AS course, f.selected, f.enrolled, f.silent, f.already, f.reasons,
       CASE WHEN f.request IS NOT NULL THEN f.selected
            ELSE coalesce(cardinality(f.learners), o.learners) END AS total,
       (SELECT coalesce(sum(w.high - w.low + 1), 0) FROM work w
        WHERE w.organisation = f.organisation AND w.subject = f.fanout
          AND w.actor IN ('enrolments.survey', 'enrolments.chunk')) AS left
FROM fanouts f JOIN organisations o USING (organisation)
LEFT JOIN courses c ON c.organisation = f.organisation AND c.course = f.courses[1]
WHERE f.organisation = :organisation
"""
_BY_NUMBER = _DETAILS + " AND f.fanout = :fanout"
_BY_REQUEST = _DETAILS + " AND f.request = :request"


def fanout_details(
    connection: Connection, organisation: int, *, fanout: int | None = None, request: str | None = None
) -> FanoutDetails | None:
    """A fan-out by its number, or by its request."""
    if request is not None:
        return one(connection, FanoutDetails, _BY_REQUEST, organisation=organisation, request=request)
    return one(connection, FanoutDetails, _BY_NUMBER, organisation=organisation, fanout=fanout)


def unfinished_since(connection: Connection, organisation: int, occurred_at: datetime) -> list[int]:
    """The fan-outs that an event at this moment began, and of which something is still to be done."""
    return column(
        connection,
        f"""
        SELECT f.fanout FROM fanouts f
        WHERE f.organisation = :organisation AND f.finished_at IS NULL AND f.occurred_at = :at AND {UNDER_WAY}
        ORDER BY f.fanout
        """,
        organisation=organisation,
        at=occurred_at,
    )
