"""What would come of a request, or of another method of a course, before anybody asks for it; as SQL that changes
nothing. It judges as `enrolling` does, by the same fragments."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from config.database import column, one
from tasks import mail, seats
from tasks.enrolments.courses import Course, find_course
from tasks.enrolments.fragments import WITHDRAWN_BY_NAME
from tasks.enrolments.rules import NotEligible
from tasks.learners import Selection, members_at, selected_by_id, selected_by_number
from tasks.organisations import Organisation


@dataclass(frozen=True, slots=True)
class EnrolmentPreview:
    """What would come of it. `enrolled`, `silent`, `already` and `not_eligible` are the counts of R14.

    `withdrawn`: whom the rules would not hold any more; `notices` would be sent; `not_told`: who would be enrolled and
    not told, by why; `consumed`: how much of `unit` (seat or credit) it takes if all who would be enrolled start.
    """

    course: str
    selected: int
    enrolled: int
    silent: int
    already: int
    not_eligible: dict[str, int]
    withdrawn: int
    notices: int
    not_told: dict[str, int]
    unit: str
    consumed: int


@dataclass(frozen=True, slots=True)
class PreviewScope:
    """What is asked: a `cycle` for the `listed` learners, or a method, for all. `segments`: the numbers of those that
    count; `told`: whether anybody is to be told."""

    listed: Sequence[int] | None
    cycle: int = 1
    everyone: bool = False
    segments: Sequence[int] = ()
    told: bool = True


@dataclass(frozen=True, slots=True)
class _Judged:
    enrolled: int
    silent: int
    already: int
    withdrawn: int
    notices: int
    not_told: dict[str, int]
    learners: int


_LEFT = WITHDRAWN_BY_NAME.format(
    organisation="l.organisation",
    course=":course",
    cycle=":cycle",
    learner="l.learner",
    when="(CAST(:listed AS int[]) IS NULL OR said.occurred_at >= :at)",
)

#: Each learner with what would become of them: new, again, already or withdrawn, or null; and what would be said.
_PREVIEW = f"""
WITH places AS (
    SELECT l.learner, l.standing = 'inactive' AS silent, e.learner IS NOT NULL AS there,
           e.withdrawn_at IS NOT NULL AS ended, e.withdrawn_by, e.notice,
           e.requests IS NULL AND e.started_at IS NULL AS loose,
           {_LEFT} AS left_by_name,
           l.standing IN ('active', 'inactive') AND (
               CAST(:listed AS int[]) IS NOT NULL OR :everyone OR EXISTS (
                   SELECT FROM memberships m
                   WHERE m.organisation = l.organisation AND m.learner = l.learner AND m.member
                     AND m.segment = ANY(CAST(:segments AS int[])))) AS held,
           EXISTS (
               SELECT FROM void_enrolments v WHERE v.organisation = l.organisation AND v.course = :course
                 AND v.cycle = :cycle AND v.learner = l.learner) AS void,
           {mail.VERDICT.format(kind="'enrolment'", state="'sending'")} AS verdict
    FROM learners l LEFT JOIN enrolments e
        ON e.organisation = l.organisation AND e.course = :course AND e.cycle = :cycle AND e.learner = l.learner
    WHERE l.organisation = :organisation
      AND (CAST(:listed AS int[]) IS NULL OR l.learner = ANY(CAST(:listed AS int[])))
), judged AS (
    SELECT places.*, CASE
        WHEN held AND NOT there AND NOT void AND NOT left_by_name THEN 'new'
        WHEN held AND ended AND NOT left_by_name AND (CAST(:listed AS int[]) IS NOT NULL OR withdrawn_by = 'rule')
            THEN 'again'
        WHEN there AND NOT ended AND held AND (CAST(:listed AS int[]) IS NULL OR NOT left_by_name) THEN 'already'
        WHEN there AND NOT ended AND NOT held AND loose AND CAST(:listed AS int[]) IS NULL AND NOT :everyone
            THEN 'withdrawn'
    END AS becomes
    FROM places
), told AS (
    SELECT j.*, CASE
        WHEN j.silent THEN 'inactive'
        WHEN NOT :told THEN 'not asked'
        WHEN :on_hold THEN 'on hold'
        WHEN j.becomes = 'again' AND (d.state = 'pending' OR d.state = 'accepted'
                                      AND d.settled_at > now() - CAST(:window AS interval)) THEN 'told already'
        ELSE j.verdict
    END AS what
    FROM judged j LEFT JOIN deliveries d
        ON d.organisation = :organisation AND d.mailing = j.notice AND d.recipient = j.learner
)
SELECT count(*) FILTER (WHERE becomes IN ('new', 'again') AND NOT silent) AS enrolled,
       count(*) FILTER (WHERE becomes IN ('new', 'again') AND silent) AS silent,
       count(*) FILTER (WHERE becomes = 'already') AS already,
       count(*) FILTER (WHERE becomes = 'withdrawn') AS withdrawn,
       count(*) FILTER (WHERE becomes IN ('new', 'again') AND what = 'send') AS notices,
       coalesce((SELECT jsonb_object_agg(what, n) FROM (
           SELECT what, count(*) AS n FROM told
           WHERE becomes IN ('new', 'again') AND what <> 'send' GROUP BY what) why), '{{}}') AS not_told,
       count(*) FILTER (WHERE becomes IN ('new', 'again') AND NOT EXISTS (
           SELECT FROM consumptions c WHERE c.organisation = :organisation AND c.learner = told.learner
             AND CASE CAST(:unit AS text) WHEN 'seat' THEN c.unit = 'seat' AND c.period = :period
                 ELSE c.unit = 'credit' AND c.course = :course AND c.cycle = :cycle END)) AS learners
FROM told
"""


def preview_rule(
    connection: Connection,
    organisation: Organisation,
    course: str,
    method: str,
    segments: Sequence[int],
    at: datetime,
    window_seconds: float,
) -> EnrolmentPreview | None:
    """What would come of another method of a course (R7, R10); None where the course is not known. If the rules would
    stay what they are, nothing would."""
    found = find_course(connection, organisation.organisation, course)
    if found is None:
        return None
    counting = sorted(segments) if method == "segments" else []
    wanted = PreviewScope(None, everyone=method == "everyone", segments=counting)
    judged = _preview(connection, organisation, found, wanted, at, window_seconds)
    if (found.method, _linked(connection, organisation, found)) != (method, counting):
        return judged
    return EnrolmentPreview(course, judged.already, 0, 0, judged.already, {}, 0, 0, {}, judged.unit, 0)


def preview_request(
    connection: Connection,
    organisation: Organisation,
    course: str,
    ids: Sequence[str] | int,
    at: datetime,
    window_seconds: float,
    *,
    tab: str,
    cycle: int,
    notify: bool,
) -> EnrolmentPreview | None:
    """What would come of a request for the learners with these `ids`, or for the members of a segment, by its number
    (R8, R11, R13); None where the course is not known."""
    number = organisation.organisation
    found = find_course(connection, number, course)
    if found is None:
        return None
    if isinstance(ids, int):
        members = members_at(connection, number, ids, at)
        selected, selection = len(members), selected_by_number(connection, number, members, at)
    else:
        wanted_ids = list(dict.fromkeys(ids))
        selected, selection = len(wanted_ids), selected_by_id(connection, number, wanted_ids, at)
    eligible = sorted(selection.active + selection.inactive) if tab == "all" else selection.active
    judged = _preview(connection, organisation, found, PreviewScope(eligible, cycle, told=notify), at, window_seconds)
    reasons = reasons_of(selection, selected, len(eligible), judged.selected)
    return replace(judged, selected=selected, not_eligible=reasons)


def _linked(connection: Connection, organisation: Organisation, course: Course) -> list[int]:
    if course.method != "segments":
        return []
    return column(
        connection,
        "SELECT segment FROM course_segments WHERE organisation = :organisation AND course = :course ORDER BY segment",
        organisation=organisation.organisation,
        course=course.course,
    )


def _preview(
    connection: Connection,
    organisation: Organisation,
    course: Course,
    wanted: PreviewScope,
    at: datetime,
    window_seconds: float,
) -> EnrolmentPreview:
    unit = seats.unit_of(organisation)
    judged = one(
        connection,
        _Judged,
        _PREVIEW,
        organisation=organisation.organisation,
        course=course.course,
        cycle=wanted.cycle,
        listed=None if wanted.listed is None else list(wanted.listed),
        everyone=wanted.everyone,
        segments=list(wanted.segments),
        told=wanted.told,
        on_hold=course.on_hold,
        at=at,
        window=f"{window_seconds} seconds",
        unit=unit,
        period=seats.period_of(organisation),
    )
    assert judged is not None  # noqa: S101 - counts are always there
    consumed = judged.learners * (1 if unit == "seat" else course.cost)
    done = judged.enrolled + judged.silent + judged.already
    return EnrolmentPreview(
        course.id, done, judged.enrolled, judged.silent, judged.already, {}, judged.withdrawn, judged.notices,
        judged.not_told, unit, consumed,
    )  # fmt: skip


def reasons_of(selection: Selection, selected: int, eligible: int, counted: int) -> dict[str, int]:
    """Why those who were selected are not enrolled (R14); `counted`: who is, or was already."""
    reasons = {
        NotEligible.UNKNOWN: selected - selection.known,
        NotEligible.INACTIVE: selection.known - eligible,
        "withdrawn": eligible - counted,
    }
    return {str(reason): n for reason, n in reasons.items() if n}
