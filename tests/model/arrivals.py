"""Every order in which a set of facts can arrive, and what each ends in (R6, R10, R27, R28, S15).

Arrivals are tried in one transaction that is never committed: each goes on from what those before it left, and is then
undone. Where two orders of the same facts leave the same behind, row by row of all that anything is decided by, one of
them stands for both: what follows cannot differ. So 192 arrivals say what the 720 orders of six facts end in.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg
from hypothesis import strategies as st
from psycopg.pq import ExecStatus
from sqlalchemy import Connection, text

from config.database import scoped
from tasks import enrolments, learners
from tasks.events import Event
from tasks.events.schemas import decode
from tasks.intake.batch import Batch
from tasks.reports.export import Tab
from tasks.reports.training import TRAINING
from tests.world import DAWN, World

#: What the comparison of two orders leaves out, and the rule that says so. Nothing else may differ.
ALLOWED = {
    "R6": "whom a request selects, judged when it is taken: orders are compared where every request selected the same",
    "S1 versions": "what has no version takes the highest known: compared where every version came out the same",
    "S1 licence": "a start is charged under the licence known when it is taken: with a change of licence, units differ",
    "S3": "silent or not by the status when the enrolment is recorded: `silent` is not compared",
    "S11": "of several starts the first taken is charged: entries are compared by learner, course and cycle",
    "R28": "an entry that another order lacks is allowed if it is flagged, and a flag stays",
}


class Fact(NamedTuple):
    """Something that happened."""

    type: str
    time: datetime
    data: dict[str, Any]


def hours(*said: float) -> st.SearchStrategy[datetime]:
    """Times on the day."""
    return st.sampled_from([DAWN + timedelta(hours=hour) for hour in said])


#: Few enough to meet; some are within the hour in which a start may be ahead of its enrolment.
when = hours(2, 3, 4, 5, 5.5, 6, 7)
version = st.sampled_from([None, None, 1, 2, 3])
segment = st.sampled_from(["s", "s", "t"])
cycle = st.sampled_from([1, 1, 1, 1, 2])


def fact(type_: str, **data: st.SearchStrategy[Any]) -> st.SearchStrategy[Fact]:
    """Facts of a type."""
    return st.builds(Fact, st.just(type_), when, st.fixed_dictionaries(data))


def course(method: str, *segments: str) -> st.SearchStrategy[Fact]:
    """A description of the course."""
    return fact(
        "course.saved",
        **{
            name: st.just(value)
            for name, value in {
                "course": "c", "title": "C", "cost": 3, "method": method, "segments": list(segments),
            }.items()
        },
    )  # fmt: skip


A, C = st.just("a"), st.just("c")
some = st.just(["a"])
facts = st.one_of(
    fact("segment.joined", segment=segment, learners=some),
    fact("segment.left", segment=segment, learners=some),
    course("segments", "s"),
    course("segments", "s", "t"),
    course("segments"),
    course("everyone"),
    course("manual"),
    fact("enrolment.withdrawn", course=C, learners=some, cycle=st.sampled_from([None, None, 1])),
    fact("enrolment.requested", course=C, learners=some, tab=st.sampled_from(["all", "all", "active"]), cycle=cycle),
    fact("enrolment.requested", course=C, segment=segment, cycle=cycle),
    fact("learner.status_changed", learner=A, status=st.sampled_from(["active", "inactive"]), version=version),
    fact("course.started", learner=A, course=C, cycle=cycle),
    fact("course.started", learner=A, course=C, cycle=cycle),
    fact("course.completed", learner=A, course=C, cycle=cycle, result=st.sampled_from(["passed", "failed"])),
    fact("learner.deleted", learner=A),
    fact(
        "learner.saved",
        learner=A,
        username=st.sampled_from(["x", "y"]),
        status=st.sampled_from([None, None, "active", "inactive"]),
        version=version,
    ),
    fact("organisation.saved", name=st.just("O"), licence=st.sampled_from(["seats", "credits"])),
)


#: What is known at first: the course's method, and its links; then the learner is in the segment.
BEGINNINGS: dict[str, list[str]] = {"everyone": [], "segments": ["s"], "manual": []}
beginnings = st.sampled_from(sorted(BEGINNINGS))
saved = fact(
    "learner.saved", learner=A, username=C, status=st.sampled_from([None, "active", "inactive"]), version=version
)


def sets(most: int) -> st.SearchStrategy[list[Fact]]:
    """Sets of two up to so many facts: of three most often, few of five and six; or of two and three."""
    sizes = (*[2] * 6, *[3] * 24, *[4] * 8, 5, 6) if most > 3 else (2, 2, most)
    return st.sampled_from(sizes).flatmap(lambda size: st.lists(facts, min_size=size, max_size=size))


@dataclass(frozen=True)
class End:
    """What an order ended in: what was decided once, what is shown, and the ledger: each place with its flags."""

    order: tuple[int, ...]
    decided: str
    shown: str
    charged: frozenset[tuple[str, bool]]


class Arrivals:
    """Organisations of which little is known, the learner too if they are `saved` at first, and what follows from facts
    about it in every order."""

    def __init__(self, world: World, *, saved: bool = True) -> None:
        self.world, self.arrived = world, 0
        self._connection: Connection | None = None
        self.settings = world.runtime.settings
        self.numbers: dict[str, int] = {}
        for method, segments in BEGINNINGS.items():
            world.organisation = method
            world.has_organisation()
            world.has_segment("s", *(["a"] if segments else []), at=DAWN)
            world.has_segment("t", at=DAWN)
            if saved:
                world.send(world.event("learner.saved", {"learner": "a", "username": "a", "version": 1}, at=DAWN))
            described = {"course": "c", "title": "C", "cost": 3, "method": method, "segments": segments}
            world.send(world.event("course.saved", described, at=DAWN))
            named = "SELECT organisation FROM organisations WHERE id = :id"
            self.numbers[method] = world.ask(named, id=method)

    def ends(self, beginning: str, said: Sequence[Fact]) -> list[End]:
        """What each order of these facts ends in, each end once."""
        self.world.organisation, number = beginning, self.numbers[beginning]
        events = [self._event(n, one) for n, one in enumerate(said)]
        found: list[End] = []
        with self._never_committed() as connection:
            self._go_on(connection, number, events, (), set(), found)
            with self._undone(connection):
                self._arrive(connection, events[::-1])
                found.append(self._end(connection, number, tuple(reversed(range(len(events))))))
        return found

    @contextmanager
    def _never_committed(self) -> Iterator[Connection]:
        """A transaction over the one connection, on which each statement is planned once for all sets."""
        if self._connection is None:
            self._connection = self.world.runtime.engine.connect()
            _psycopg(self._connection).prepare_threshold = 1
            _psycopg(self._connection).prepared_max = None
            self._connection.exec_driver_sql("SET plan_cache_mode = force_generic_plan")
            self._connection.commit()
        _by_libpq(self._connection, b"BEGIN")
        try:
            yield self._connection
        finally:
            _by_libpq(self._connection, b"ROLLBACK")

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()

    def _event(self, n: int, said: Fact) -> Event:
        data = {name: value for name, value in said.data.items() if value is not None}
        if said.type == "enrolment.requested":
            data["request"] = f"r{n}"
        body = self.world.event(said.type, data, at=said.time, id_=f"fact {n}")
        event = decode(body, now=DAWN + timedelta(days=1), skew=timedelta())
        assert isinstance(event, Event), event
        return event

    def _go_on(
        self,
        connection: Connection,
        number: int,
        events: Sequence[Event],
        order: tuple[int, ...],
        seen: set[tuple[frozenset[int], str]],
        found: list[End],
    ) -> None:
        for n in range(len(events)):
            if n in order:
                continue
            with self._undone(connection):
                self._arrive(connection, [events[n]])
                state = (frozenset({*order, n}), connection.execute(STATE, {"org": number}).scalar_one())
                if state in seen:
                    continue
                seen.add(state)
                if len(order) + 1 == len(events):
                    found.append(self._end(connection, number, (*order, n)))
                else:
                    self._go_on(connection, number, events, (*order, n), seen, found)

    @contextmanager
    def _undone(self, connection: Connection) -> Iterator[None]:
        _by_libpq(connection, b"SAVEPOINT undone")
        yield
        _by_libpq(connection, b"ROLLBACK TO SAVEPOINT undone; RELEASE SAVEPOINT undone")

    def _arrive(self, connection: Connection, events: Sequence[Event]) -> None:
        self.arrived += len(events)
        connection.execution_options(said=[], spent={})
        batch = Batch(connection, self.settings)
        new = batch.claim(events, {}, None, few=False)
        batch.finish(new, batch.apply(new))

    def _end(self, connection: Connection, number: int, order: tuple[int, ...]) -> End:
        decided = connection.execute(DECIDED, {"org": number}).scalar_one()
        entries = connection.execute(LEDGER, {"org": number}).all()
        with scoped(connection, number):
            shown: list[Any] = [
                [value for name, value in row._mapping.items() if name != "silent"]
                for tab in Tab
                for row in connection.exec_driver_sql(TRAINING.query(number, tab).as_string())
            ]
            profile = learners.profile(connection, number, "a")
            if profile is not None:
                shown += [
                    profile.standing,
                    profile.username,
                    learners.history(connection, number, profile.learner),
                    learners.segments_of(connection, number, profile.learner),
                    [
                        (e.course, e.cycle, e.sources, e.enrolled_at, e.activated_at, e.started_at, e.completed_at,
                         e.result, e.withdrawn_at, e.access, e.missing)
                        for e in enrolments.enrolments_of(connection, number, profile.learner)
                    ],
                ]  # fmt: skip
        return End(order, decided, repr(shown), frozenset((place, flagged) for place, flagged in entries))


def _psycopg(connection: Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def _by_libpq(connection: Connection, command: bytes) -> None:
    """Past psycopg, which forgets all that it prepared when it sees a ROLLBACK."""
    done = _psycopg(connection).pgconn.exec_(command)
    assert done.status == ExecStatus.COMMAND_OK, done.error_message


def differences(found: Sequence[End], said: Sequence[Fact]) -> list[str]:
    """Where two orders end otherwise, and none of what is allowed explains it."""
    by_decision: dict[str, End] = {}
    wrong: list[str] = []
    if any(one.type == "organisation.saved" for one in said):  # S1
        found = [replace(end, charged=frozenset(("something", flagged) for _, flagged in end.charged)) for end in found]
    for end in found:
        first = by_decision.setdefault(end.decided, end)
        if end.shown != first.shown:
            wrong.append(f"{_told(said, first)}\n{_told(said, end)}")
        for one, other in ((first, end), (end, first)):
            missing = {place for place, flagged in one.charged if not flagged} - {place for place, _ in other.charged}
            if missing:
                wrong.append(f"charged {missing} without a flag:\n{_told(said, one)}\n{_told(said, other)}")
    return wrong


def _told(said: Sequence[Fact], end: End) -> str:
    lines = [
        f"    {said[n].time - DAWN} {said[n].type} {json.dumps({k: v for k, v in said[n].data.items() if v})}"
        for n in end.order
    ]
    return "\n".join(["  heard in this order:", *lines, f"  shown: {end.shown}", f"  charged: {sorted(end.charged)}"])


def _everything(*tables: tuple[str, str]) -> str:
    parts = [
        f"SELECT coalesce(json_agg(x ORDER BY CAST(x AS text)), '[]') AS found FROM (SELECT {columns} FROM {rest}) x"
        for columns, rest in tables
    ]
    return "SELECT md5(string_agg(CAST(found AS text), '|')) FROM (" + " UNION ALL ".join(parts) + ") every_table"


_ENROLMENT = """course, cycle, enrolled_at, activated_at, started_at, completed_at, result, withdrawn_at, withdrawn_by,
    review, silent, ARRAY(SELECT f.request FROM fanouts f WHERE f.fanout = ANY(e.asked) ORDER BY 1) AS asked,
    ARRAY(SELECT f.request FROM fanouts f WHERE f.fanout = ANY(e.requests) ORDER BY 1) AS requests"""

#: All that anything is decided by. Numbers that are given out are left out, and so is what was told to others.
STATE = text(
    _everything(
        ("licence, saved_at", "organisations WHERE organisation = :org"),
        ("standing, version, saved_version, saved_at, deleted_at, username", "learners WHERE organisation = :org"),
        ("version, occurred_at, active, cause", "status_changes WHERE organisation = :org"),
        ("segment, occurred_at, member", "membership_changes WHERE organisation = :org"),
        ("segment, member, since", "memberships WHERE organisation = :org"),
        ("course, method, rules_since, saved_at", "courses WHERE organisation = :org"),
        ("course, segment", "course_segments WHERE organisation = :org"),
        ("occurred_at, method, segments", "course_rules WHERE organisation = :org"),
        ("cycle, occurred_at", "withdrawals WHERE organisation = :org"),
        (_ENROLMENT, "enrolments e WHERE organisation = :org"),
        (_ENROLMENT, "void_enrolments e WHERE organisation = :org"),
        ("cycle, enrolled_at, withdrawn_at, withdrawn_by", "stints WHERE organisation = :org"),
        ("cycle, occurred_at, released", "starts WHERE organisation = :org"),
        ("occurred_at", "deletions WHERE organisation = :org"),
        ("occurred_at, version, CAST(said AS text)", "descriptions WHERE organisation = :org"),
        (
            """cycle, unit, amount, period, overdrawn, occurred_at, event,
            ARRAY(SELECT r.code FROM reviews r WHERE r.consumption = c.consumption ORDER BY 1) AS reviews""",
            "consumptions c WHERE organisation = :org",
        ),
        ("unit, period, used", "balances WHERE organisation = :org"),
        ("request, learners", "fanouts WHERE organisation = :org AND request IS NOT NULL"),
        (
            "id, state, reason, awaits, awaits_organisation, awaits_id, awaits_course, awaits_cycle, awaits_learner",
            "inbox WHERE state <> 'applied'",
        ),
    )
)

#: What was decided once, on what was known then.
DECIDED = text(
    """
    SELECT concat_ws(' ',
        (SELECT string_agg(request || CAST(learners AS text), ' ' ORDER BY request) FROM fanouts
         WHERE organisation = :org AND request IS NOT NULL),
        (SELECT string_agg(cause || ' ' || version, ' ' ORDER BY cause, version) FROM status_changes
         WHERE organisation = :org),
        (SELECT string_agg(occurred_at || ' ' || version, ' ' ORDER BY occurred_at, version) FROM (
            SELECT occurred_at, version FROM descriptions WHERE organisation = :org
            UNION SELECT saved_at, saved_version FROM learners
            WHERE organisation = :org AND saved_version IS NOT NULL) d))
    """
)
LEDGER = text(
    """
    SELECT concat_ws(' ', CASE WHEN unit = 'seat' THEN 'seat' ELSE 'cycle ' || cycle END), EXISTS (
        SELECT FROM reviews r WHERE r.organisation = c.organisation AND r.consumption = c.consumption
          AND r.code IN ('not enrolled', 'learner inactive'))
    FROM consumptions c WHERE organisation = :org
    """
)
