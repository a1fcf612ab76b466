"""Bringing enrolments in line with all that is known, where something came late: written in sets.

What comes in the order in which it happened is done by the statements of a fan-out. What is older than something known
by then may have made, ended or split what stands: there, the whole past of each place is told anew.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from sqlalchemy import Connection

from config.database import execute
from config.sql import query
from tasks.enrolments.causes import EnrolmentCauses, EnrolmentKey, people_of
from tasks.enrolments.timeline import EVER, Timeline, timeline
from tasks.events import emit_changed
from tasks.seats import Contradicted, flag_contradictions

#: Places told anew at once.
SLICE = 2000


def settle(connection: Connection, organisation: int, pairs: Iterable[tuple[int, int]], lead: timedelta) -> bool:
    """Tell the past of these learners in these courses, (course, learner) each, anew, and write what differs: the
    enrolments, what they were before, and flags on what was consumed (R28). Whether anything did."""
    wanted = sorted(set(pairs))
    changed = [_settle(connection, organisation, wanted[at : at + SLICE], lead) for at in range(0, len(wanted), SLICE)]
    return any(changed)


def _settle(connection: Connection, organisation: int, pairs: Sequence[tuple[int, int]], lead: timedelta) -> bool:
    scope: dict[str, object] = {
        "organisation": organisation,
        "courses": [course for course, _ in pairs],
        "learners": [learner for _, learner in pairs],
    }
    people, causes = people_of(connection, scope), EnrolmentCauses(connection, scope)
    changes: list[tuple[EnrolmentKey, Timeline]] = []
    contradicted: list[Contradicted] = []
    for place in causes.places(pairs):
        person, standing = people[place.learner]
        told = timeline(person, causes.at(place), lead, deleted=standing == "deleted")
        contradicted += [
            Contradicted(place.learner, place.course, place.cycle, time, active=person.active_at(time))
            for time in told.contradicted
        ]
        if causes.differs(place, told):
            changes.append((place, told))
    if changes:
        _write(connection, organisation, changes, causes, {who: standing for who, (_, standing) in people.items()})
    flag_contradictions(connection, organisation, contradicted)
    return bool(changes)


def _write(
    connection: Connection,
    organisation: int,
    changes: Sequence[tuple[EnrolmentKey, Timeline]],
    causes: EnrolmentCauses,
    standings: dict[int, str],
) -> None:
    shown = [place for place, told in changes if told.last is not None]
    gone = [place for place, told in changes if told.last is None and place in causes.rows]
    hidden = [place for place in gone if not causes.rows[place].void]
    back = [place for place in shown if place in causes.rows and causes.rows[place].void]
    begun = [place for place in shown if place not in causes.rows]
    if hidden:
        execute(connection, query("enrolments.to_void"), **_of(organisation, hidden))
    if back:
        execute(connection, query("enrolments.from_void"), **_of(organisation, back))
    if begun:
        execute(connection, query("enrolments.begin"), **_of(organisation, begun))
    execute(connection, query("enrolments.forget_periods"), **_of(organisation, [place for place, _ in changes]))
    past = [(place, period) for place, told in changes for period in told.past]
    if past:
        execute(
            connection,
            """
            INSERT INTO stints (organisation, course, cycle, learner, enrolled_at, withdrawn_at, withdrawn_by)
            SELECT :organisation, unnest(CAST(:courses AS int[])), unnest(CAST(:cycles AS int[])),
                   unnest(CAST(:learners AS int[])), unnest(CAST(:begins AS timestamptz[])),
                   unnest(CAST(:ends AS timestamptz[])), unnest(CAST(:bys AS text[]))
            """,
            **_of(organisation, [place for place, _ in past]),
            begins=[period.begin for _, period in past],
            ends=[period.end for _, period in past],
            bys=[period.by for _, period in past],
        )
    told_of = [(place, told, told.last) for place, told in changes if told.last is not None]
    if told_of:
        execute(
            connection,
            query("enrolments.retell"),
            **_of(organisation, [place for place, _, _ in told_of]),
            begins=[last.begin for _, _, last in told_of],
            ends=[None if last.end == EVER else last.end for _, _, last in told_of],
            bys=[last.by for _, _, last in told_of],
            starteds=[told.started for _, told, _ in told_of],
            activateds=[told.activated for _, told, _ in told_of],
            asked_sinces=[told.asked_since for _, told, _ in told_of],
            begans=[told.began for _, told, _ in told_of],
        )
    _announce(connection, organisation, changes, causes, standings)


def _of(organisation: int, places: Sequence[EnrolmentKey]) -> dict[str, object]:
    return {
        "organisation": organisation,
        "courses": [place.course for place in places],
        "cycles": [place.cycle for place in places],
        "learners": [place.learner for place in places],
    }


def _announce(
    connection: Connection,
    organisation: int,
    changes: Sequence[tuple[EnrolmentKey, Timeline]],
    causes: EnrolmentCauses,
    standings: dict[int, str],
) -> None:
    """Tell the platform whose enrolment stands by now, or no longer does."""
    found: list[tuple[int, int, int, str]] = []
    for place, told in changes:
        row, standing = causes.rows.get(place), standings[place.learner]
        stood = row is not None and not row.void and row.withdrawn_at is None
        stands = told.last is not None and told.last.end == EVER
        if stood != stands:
            found.append((*place, "withdrawn" if stood else "enrolled" if standing == "active" else "silent"))
    emit_changed(connection, organisation, "rule", found)
