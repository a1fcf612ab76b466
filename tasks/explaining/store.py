"""What is stored of what happened, as steps; as SQL."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from config.database import one, tuples
from config.sql import query
from tasks import events
from tasks.explaining.rules import WHY, Step, step

#: Events that wait or are quarantined which are looked through for a learner's starts, at most.
UNRESOLVED_AT_MOST = 5_000


class _StartData(msgspec.Struct):
    learner: str = ""
    course: str = ""


class _UnresolvedStart(msgspec.Struct):
    """What counts of a start that could not be taken."""

    type: str = ""
    time: datetime | None = None
    data: _StartData = msgspec.field(default_factory=_StartData)


@dataclass(frozen=True, slots=True)
class ChargedTo:
    """Whose an entry of the ledger is, and what of."""

    learner: int
    course: str
    unit: str


def steps_of(connection: Connection, organisation: int, learner: int, course: str | None = None) -> list[Step]:
    """What happened to a learner, and what came of it, oldest first: of one course, or of all."""
    found = tuples(
        connection, query("explaining.steps_of_learner"), organisation=organisation, learner=learner, course=course
    )
    return in_order([step(*row) for row in found])


def in_order(steps: list[Step]) -> list[Step]:
    """Steps by their times; at one time causes before effects; what has not happened yet comes last."""
    places = {what: place for place, what in enumerate(WHY)}
    return sorted(steps, key=lambda step: (step.at is None, step.at and step.at.timestamp(), places[step.what]))


def unresolved_starts(
    connection: Connection, organisation: str, learner: str, course: str | None = None
) -> Iterator[Step]:
    """The starts of a learner that wait or are quarantined, of one course or of all."""
    after, left, more = 0, UNRESOLVED_AT_MOST, True
    while more and left > 0:
        found, more = events.quarantined_page(connection, organisation, after, min(left, 500))
        for entry in found:
            try:
                said = msgspec.json.decode(entry.payload, type=_UnresolvedStart)
            except msgspec.MsgspecError:
                continue
            if (said.type, said.data.learner) != ("platform.course.started", learner):
                continue
            if course in {None, said.data.course}:
                what = "start quarantined" if entry.reason == events.Reason.LEARNER_INACTIVE else "start waits"
                yield step(said.time, what, said.data.course, entry.id, entry.reason)
        left -= len(found)
        after = found[-1].number if found else after


def charge_of(connection: Connection, organisation: int, entry: int) -> ChargedTo | None:
    """Whose an entry of the ledger is."""
    return one(
        connection,
        ChargedTo,
        """
        SELECT p.learner, c.id AS course, p.unit
        FROM consumptions p JOIN courses c USING (organisation, course)
        WHERE p.organisation = :organisation AND p.consumption = :entry
        """,
        organisation=organisation,
        entry=entry,
    )
