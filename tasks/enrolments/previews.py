"""What would come of a course's new rules, or of a request, before anybody decides it; nothing is changed.

The questions are those of `enrolling`, asked of all learners at once: a property holds the two together.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from config.database import planned_for_sets, rows
from tasks import mail, seats
from tasks.enrolments.courses import Course
from tasks.enrolments.fragments import WITHDRAWN
from tasks.enrolments.rules import Became, NotTold
from tasks.organisations import Organisation


@dataclass(frozen=True, slots=True)
class EnrolmentPreview:
    """What would come of it. `enrolled` and `silent` are who is not enrolled today; of the enrolled who are active,
    `notices` are told and the others `not_told`, by reason. `startable` are those of them whose first start is not
    charged yet: the most that could be."""

    enrolled: int = 0
    silent: int = 0
    already: int = 0
    withdrawn: int = 0
    notices: int = 0
    not_told: dict[str, int] = field(default_factory=dict)
    startable: int = 0


@dataclass(frozen=True, slots=True)
class _Group:
    became: str
    silent: bool
    verdict: str
    charged: bool
    n: int


_VERDICT = mail.VERDICT.format(kind="'enrolment'", state="'sending'")

#: Of every learner that is {wanted}, or enrolled: what would become of them, and whether they would be told.
_GROUPS = f"""
WITH judged AS (
    SELECT l.standing = 'inactive' AS silent, {{wanted}} AS wanted, e.learner IS NOT NULL AS there, e.withdrawn_at,
           e.withdrawn_by, e.requests, e.started_at, {WITHDRAWN.format(course=":course")} AS named,
           EXISTS (
               SELECT FROM void_enrolments v
               WHERE v.organisation = :organisation AND v.course = :course AND v.cycle = :cycle
                 AND v.learner = l.learner) AS void,
           CASE WHEN d.state = 'pending' OR d.state = 'accepted' AND d.settled_at > now() - CAST(:window AS interval)
                THEN '{NotTold.TOLD_LATELY}' ELSE {_VERDICT} END AS verdict,
           {seats.CHARGED} AS charged
    FROM {{learners}}
    LEFT JOIN enrolments e ON e.organisation = :organisation AND e.course = :course AND e.cycle = :cycle
        AND e.learner = l.learner
    LEFT JOIN deliveries d ON d.organisation = :organisation AND d.mailing = e.notice AND d.recipient = l.learner
    WHERE l.organisation = :organisation AND l.standing IN ('active', 'inactive')
), placed AS (
    SELECT silent, verdict, charged, CASE
        WHEN wanted AND NOT there THEN CASE WHEN NOT named AND NOT void THEN 'enrolled' END
        WHEN wanted AND withdrawn_at IS NULL THEN 'already'
        WHEN wanted THEN CASE WHEN NOT named AND (CAST(:requests AS bigint[]) IS NOT NULL OR withdrawn_by = 'rule')
            THEN 'enrolled' END
        WHEN there AND withdrawn_at IS NULL AND requests IS NULL AND started_at IS NULL THEN 'withdrawn'
    END AS became
    FROM judged
)
SELECT became, silent, verdict, charged, count(*) AS n FROM placed WHERE became IS NOT NULL GROUP BY 1, 2, 3, 4
"""

_BY_RULE = _GROUPS.format(
    learners="learners l",
    wanted="""(:everyone OR EXISTS (
               SELECT FROM memberships m
               WHERE m.organisation = :organisation AND m.learner = l.learner AND m.member
                 AND m.segment = ANY(CAST(:segments AS int[]))))""",
)
_BY_REQUEST = _GROUPS.format(
    learners="unnest(CAST(:listed AS int[])) AS listed (learner) JOIN learners l USING (learner)", wanted="true"
)


def preview_rules(
    connection: Connection,
    organisation: Organisation,
    course: Course,
    window_seconds: float,
    *,
    everyone: bool,
    segments: Sequence[int],
) -> EnrolmentPreview:
    """What would come of these rules in place of those the course has (R7, R10)."""
    scope = _scope(organisation, course, window_seconds)
    with planned_for_sets(connection):
        groups = rows(connection, _Group, _BY_RULE, **scope, everyone=everyone, segments=list(segments))
    return _counted(groups, on_hold=course.on_hold, notify=True)


def preview_request(
    connection: Connection,
    organisation: Organisation,
    course: Course,
    window_seconds: float,
    *,
    cycle: int,
    at: datetime,
    learners: Sequence[int],
    notify: bool,
) -> EnrolmentPreview:
    """What would come of a request for these learners, who are eligible (R8, R9, R11)."""
    scope = _scope(organisation, course, window_seconds)
    scope |= {"cycle": cycle, "requests": [], "at": at, "listed": list(learners)}
    return _counted(rows(connection, _Group, _BY_REQUEST, **scope), on_hold=course.on_hold, notify=notify)


def _scope(organisation: Organisation, course: Course, window_seconds: float) -> dict[str, object]:
    return {
        "organisation": organisation.organisation,
        "course": course.course,
        "cycle": 1,
        "requests": None,
        "at": None,
        **seats.charging(organisation),
        "window": f"{window_seconds} seconds",
    }


def _counted(found: Sequence[_Group], *, on_hold: bool, notify: bool) -> EnrolmentPreview:
    enrolled = [group for group in found if group.became == Became.ENROLLED]
    told: Counter[str] = Counter()
    for group in enrolled:
        if not group.silent:
            told[_verdict(group.verdict, on_hold=on_hold, notify=notify)] += group.n
    return EnrolmentPreview(
        enrolled=sum(group.n for group in enrolled if not group.silent),
        silent=sum(group.n for group in enrolled if group.silent),
        already=sum(group.n for group in found if group.became == Became.ALREADY),
        withdrawn=sum(group.n for group in found if group.became == Became.WITHDRAWN),
        notices=told.pop(mail.Verdict.SEND, 0),
        not_told=dict(told),
        startable=sum(group.n for group in enrolled if not group.charged),
    )


def _verdict(verdict: str, *, on_hold: bool, notify: bool) -> str:
    """Whether they are told, or why not (S7, R12)."""
    if not notify:
        return NotTold.NOT_ASKED
    return NotTold.ON_HOLD if on_hold else verdict
