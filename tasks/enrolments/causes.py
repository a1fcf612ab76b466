"""What is known that makes, ends or starts enrolments, all of it, however old: asked in sets."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from config.database import rows, tuples
from config.sql import query
from tasks.enrolments.timeline import EVER, Causes, CountedStart, EnrolmentPeriod, Person, Rule, StatusVersion, Timeline


class EnrolmentKey(NamedTuple):
    """Where there may be an enrolment; there is one at most (S5)."""

    course: int
    cycle: int
    learner: int


@dataclass(frozen=True, slots=True)
class _PersonRow:
    learner: int
    standing: str
    saved_at: datetime | None
    deletions: list[datetime]
    described: list[datetime]
    versions: list[int]
    times: list[datetime]
    actives: list[bool]


@dataclass(frozen=True, slots=True)
class _RuleRow:
    course: int
    occurred_at: datetime
    method: str
    segments: list[int]
    described: bool


@dataclass(frozen=True, slots=True)
class _Move:
    learner: int
    segment: int
    occurred_at: datetime
    member: bool


@dataclass(frozen=True, slots=True)
class _RecordedEvent:
    course: int
    cycle: int
    learner: int
    occurred_at: datetime
    released: bool


@dataclass(frozen=True, slots=True)
class _Row:
    course: int
    cycle: int
    learner: int
    void: bool
    before_history: bool
    enrolled_at: datetime
    withdrawn_at: datetime | None
    withdrawn_by: str | None
    started_at: datetime | None
    activated_at: datetime | None
    asked: list[datetime]
    held: list[datetime]
    completed_at: datetime | None

    @property
    def place(self) -> EnrolmentKey:
        return EnrolmentKey(self.course, self.cycle, self.learner)


@dataclass(frozen=True, slots=True)
class _PeriodRow:
    course: int
    cycle: int
    learner: int
    enrolled_at: datetime
    withdrawn_at: datetime
    withdrawn_by: str | None


def people_of(connection: Connection, scope: dict[str, object]) -> dict[int, tuple[Person, str]]:
    found = rows(
        connection,
        _PersonRow,
        query("enrolments.people_of"),
        organisation=scope["organisation"],
        learners=scope["learners"],
    )
    return {
        row.learner: (
            Person(
                row.deletions,
                sorted({*row.described, *([] if row.saved_at is None else [row.saved_at])}),
                [StatusVersion(*said) for said in zip(row.versions, row.times, row.actives, strict=True)],
            ),
            row.standing,
        )
        for row in found
    }


class EnrolmentCauses:
    """What is known of some pairs, as it is asked for."""

    def __init__(self, connection: Connection, scope: dict[str, object]) -> None:
        self.rules: dict[int, list[Rule]] = defaultdict(list)
        self.described: set[int] = set()
        for rule in rows(
            connection,
            _RuleRow,
            query("enrolments.rules_of_courses"),
            organisation=scope["organisation"],
            courses=sorted(set(scope["courses"])),  # type: ignore[call-overload] # a list of numbers
        ):
            if rule.described:
                self.described.add(rule.course)
            self.rules[rule.course].append(Rule(rule.occurred_at, rule.method, tuple(rule.segments)))
        self.moves: dict[int, dict[int, list[tuple[datetime, bool]]]] = defaultdict(lambda: defaultdict(list))
        for move in rows(
            connection,
            _Move,
            query("enrolments.membership_moves"),
            organisation=scope["organisation"],
            learners=scope["learners"],
            segments=sorted({s for rules in self.rules.values() for rule in rules for s in rule.segments}),
        ):
            self.moves[move.learner][move.segment].append((move.occurred_at, move.member))
        self.withdrawals: dict[tuple[int, int], list[_RecordedEvent]] = defaultdict(list)
        for said in rows(connection, _RecordedEvent, query("enrolments.withdrawals_of"), **scope):
            self.withdrawals[said.course, said.learner].append(said)
        self.starts: dict[EnrolmentKey, list[CountedStart]] = defaultdict(list)
        for said in rows(connection, _RecordedEvent, query("enrolments.starts_of"), **scope):
            self.starts[EnrolmentKey(said.course, said.cycle, said.learner)].append(
                CountedStart(said.occurred_at, said.released)
            )
        self.rows = {row.place: row for row in rows(connection, _Row, query("enrolments.written_of"), **scope)}
        self.periods: dict[EnrolmentKey, set[EnrolmentPeriod]] = defaultdict(set)
        for period in rows(connection, _PeriodRow, query("enrolments.periods_of"), **scope):
            place = EnrolmentKey(period.course, period.cycle, period.learner)
            self.periods[place].add(EnrolmentPeriod(period.enrolled_at, period.withdrawn_at, period.withdrawn_by))

    def places(self, pairs: Iterable[tuple[int, int]]) -> list[EnrolmentKey]:
        """Where there is, was or may be an enrolment: rules enrol in cycle 1 (R10)."""
        found = {*self.rows, *self.starts, *self.periods}
        found |= {EnrolmentKey(course, 1, learner) for course, learner in pairs if self.rules[course]}
        return sorted(found - {place for place, row in self.rows.items() if self._is_unexplained(row)})

    def _is_unexplained(self, row: _Row) -> bool:
        """Whether what made an enrolment is not known: it stays as it is."""
        return row.before_history or not (row.asked or row.course in self.described)

    def at(self, place: EnrolmentKey) -> Causes:
        """What is known of a place."""
        row = self.rows.get(place)
        return Causes(
            self.rules[place.course] if place.cycle == 1 else [],
            self.moves[place.learner],
            [w.occurred_at for w in self.withdrawals[place.course, place.learner] if w.cycle in {0, place.cycle}],
            row.asked if row else [],
            self.starts[place],
        )

    def differs(self, place: EnrolmentKey, told: Timeline) -> bool:
        """Whether what is written is not what was told."""
        row = self.rows.get(place)
        if self.periods[place] != set(told.past):
            return True
        if row is None or told.last is None:
            return told.last is not None or (row is not None and not row.void)
        return (
            row.void
            or (row.enrolled_at, row.withdrawn_at or EVER, row.withdrawn_by) != told.last
            or (row.started_at, row.activated_at) != (told.started, told.activated)
            or row.held != [time for time in row.asked if time > told.asked_since]
            or (row.completed_at is not None and row.completed_at <= told.began)
        )


def pairs_of(connection: Connection, organisation: int, learners: Sequence[int]) -> list[tuple[int, int]]:
    """Every course, with these learners, in which they are, were or may be enrolled."""
    return tuples(connection, query("enrolments.pairs_of"), organisation=organisation, learners=list(learners))
