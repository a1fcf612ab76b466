"""Whatever the order and however often: R1, R6, R10, R32, S1. Each example has an organisation of its own."""

import itertools
import json
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.world import DAWN, World, shuffled

few = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # every example costs a conversation with the database
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
#: What differs between two organisations to which the same happened.
OWN = {"consumption", "source", "_organisation"}

_numbers = itertools.count(1)


def begin_anew(world: World) -> None:
    """An organisation nothing is known of but that it exists."""
    world.organisation = f"org {next(_numbers)}"
    world.has_organisation()


def moved(bodies: list[bytes], organisation: str) -> list[bytes]:
    """The same events, as if they were another organisation's."""
    events = [json.loads(body) for body in bodies]
    return [json.dumps(e | {"organisation": organisation, "source": f"urn:{organisation}"}).encode() for e in events]


def present(world: World) -> dict[str, Any]:
    """What holds now: learners, memberships, and who is enrolled by which rule."""
    org = world.ask("SELECT organisation FROM organisations WHERE id = :id", id=world.organisation)
    learners = world.rows(
        "SELECT id, standing, username, saved_version FROM learners WHERE organisation = :org ORDER BY id", org=org
    )
    return {
        "learners": learners,
        "history": world.rows(
            """
            SELECT l.id, h.version, h.occurred_at, h.active FROM status_changes h
            JOIN learners l USING (organisation, learner) WHERE h.organisation = :org ORDER BY 1, 2, 3
            """,
            org=org,
        ),
        "members": world.rows(
            """
            SELECT s.id, l.id AS learner FROM memberships m JOIN segments s USING (organisation, segment)
            JOIN learners l USING (organisation, learner) WHERE m.organisation = :org AND m.member ORDER BY 1, 2
            """,
            org=org,
        ),
        "sources": {
            learner: {course: e.sources for course, e in world.enrolments(learner).items() if not e.withdrawn_at}
            for learner, standing, *_ in learners
            if standing in {"active", "inactive"}
        },
        "access": {
            learner: world.access(learner) for learner, standing, *_ in learners if standing in {"active", "inactive"}
        },
    }


def content(world: World) -> dict[str, Any]:
    """Everything kept and everything told, by the platform's names; however the batches were cut."""
    org = world.ask("SELECT organisation FROM organisations WHERE id = :id", id=world.organisation)
    told: list[Any] = []
    for type_, data in world.rows("SELECT type, data FROM outbox WHERE organisation = :org ORDER BY seq", org=org):
        if type_ == "rollcall.enrolment.changed":
            told += [
                (type_, data["course"], data["cycle"], data["cause"], what, learner)
                for what in ("enrolled", "silent", "withdrawn")
                for learner in data[what]
            ]
        else:
            told.append((type_, json.dumps({k: v for k, v in data.items() if k not in OWN}, sort_keys=True)))
    tables = {
        "enrolments": """
            SELECT c.id, e.cycle, l.id, e.silent, m.id, e.enrolled_at, e.activated_at, e.started_at, e.completed_at,
                   e.withdrawn_at, e.withdrawn_by, e.result, e.review,
                   ARRAY(SELECT f.request FROM fanouts f WHERE f.organisation = e.organisation
                         AND f.fanout = ANY(e.requests) ORDER BY 1)
            FROM enrolments e
            JOIN learners l USING (organisation, learner)
            JOIN courses c USING (organisation, course)
            LEFT JOIN mailings m ON m.organisation = e.organisation AND m.mailing = e.notice
            WHERE e.organisation = :org
        """,
        "ledger": """
            SELECT l.id, c.id, s.cycle, s.unit, s.amount, s.overdrawn, s.occurred_at, s.event
            FROM consumptions s
            JOIN learners l USING (organisation, learner)
            JOIN courses c USING (organisation, course)
            WHERE s.organisation = :org
        """,
        "balances": "SELECT unit, period, used FROM balances WHERE organisation = :org",
        "mail": """
            SELECT m.kind, m.id, coalesce(l.id, d.address), d.state, d.reason
            FROM mailings m JOIN deliveries d USING (organisation, mailing)
            LEFT JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
            WHERE m.organisation = :org
        """,
        "held": """
            SELECT id, state, reason, awaits IS NULL FROM inbox WHERE organisation = :id AND state <> 'applied'
        """,
        "withdrawals": """
            SELECT c.id, l.id, w.cycle, w.occurred_at FROM withdrawals w JOIN learners l USING (organisation, learner)
            JOIN courses c USING (organisation, course) WHERE w.organisation = :org
        """,
    }
    kept = {name: sorted(world.rows(sql, org=org, id=world.organisation), key=repr) for name, sql in tables.items()}
    return present(world) | kept | {"told": sorted(told, key=repr)}


toggles = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from(["active", "inactive"])),
    min_size=1,
    max_size=7,
    unique_by=lambda toggle: toggle[:2],
)


@few
@given(st.data(), toggles)
def test_r01_any_toggles_in_any_order_end_in_the_newest_and_duplicate_nothing(
    world: World, data: st.DataObject, said: list[tuple[int, int, str]]
) -> None:
    begin_anew(world)
    world.has_learners("A", version=0, at=DAWN)
    world.has_course("safety", "everyone", cost=2, at=DAWN)
    world.starts("A", "safety", at=DAWN)
    events = [
        world.event(
            "learner.status_changed",
            {"learner": "A", "status": status, "version": version},
            at=DAWN + timedelta(hours=hour),
        )
        for version, hour, status in said
    ]
    again = data.draw(st.lists(st.sampled_from(events), max_size=6))
    order = data.draw(st.permutations([*events, *again]))
    cut = data.draw(st.integers(0, len(order)))

    world.send(*order[:cut])
    world.send(*order[cut:])

    newest = max(said)[2]
    assert [(standing,) for _, standing, *_ in present(world)["learners"]] == [(newest,)]
    assert world.access("A") == ({"safety"} if newest == "active" else set())
    kept = content(world)
    assert [len(kept[what]) for what in ("enrolments", "mail", "ledger")] == [1, 1, 1]
    assert [type_ for type_, *_ in kept["told"] if "seat" in type_] == ["rollcall.seat.consumed"]


def described(world: World) -> list[bytes]:
    """A platform's events about three learners, two segments and two courses; every time is different."""
    say = world.event
    events = [
        say("learner.saved", world.learner("A", version=1, status="active")),
        say("learner.saved", world.learner("A", version=3, username="renamed")),
        say("learner.saved", world.learner("B", version=1, status="inactive")),
        say("learner.saved", world.learner("C", version=2)),
        say("learner.status_changed", {"learner": "A", "status": "inactive", "version": 2}),
        say("learner.status_changed", {"learner": "B", "status": "active", "version": 3}),
        say("learner.status_changed", {"learner": "C", "status": "inactive", "version": 1}),
        say("learner.status_changed", {"learner": "A", "status": "active", "version": 4}),
        say("segment.saved", {"segment": "s", "name": "S"}),
        say("segment.saved", {"segment": "t", "name": "T"}),
        say("segment.joined", {"segment": "s", "learners": ["A", "B"]}),
        say("segment.joined", {"segment": "t", "learners": ["B", "C"]}),
        say("segment.left", {"segment": "s", "learners": ["B"]}),
        say("segment.joined", {"segment": "s", "learners": ["C"]}),
    ]
    course = {"title": "C", "cost": 1}
    return [
        *events,
        say("course.saved", course | {"course": "all", "method": "segments", "segments": ["s"]}),
        say("course.saved", course | {"course": "all", "method": "everyone"}),
        say("course.saved", course | {"course": "some", "method": "everyone"}),
        say("course.saved", course | {"course": "some", "method": "segments", "segments": ["s", "t"]}),
        say("segment.left", {"segment": "t", "learners": ["C"]}),
        say("course.saved", course | {"course": "none", "method": "segments", "segments": ["t"]}),
        say("course.saved", course | {"course": "none", "method": "manual", "segments": ["t"]}),
    ]


@few
@given(st.data())
def test_r06_what_describes_ends_in_the_same_present_in_any_order(world: World, data: st.DataObject) -> None:
    begin_anew(world)
    events = described(world)
    world.send(*moved(events, world.organisation))
    in_order = present(world)
    assert in_order["access"] == {"A": {"all", "some"}, "B": {"all", "some"}, "C": set()}

    begin_anew(world)
    order = data.draw(st.permutations(range(len(events))))
    another = moved(shuffled(events, order), world.organisation)
    cut = data.draw(st.integers(0, len(events)))
    world.send(*another[:cut])
    world.send(*another[cut:])

    assert present(world) == in_order
    assert world.quarantine() == {}


def lived(world: World) -> list[bytes]:
    """A platform's day, in the order it happened: everything that has an effect."""
    say = world.event
    events = described(world)
    return [
        *events,
        say("enrolment.requested", {"request": "r1", "course": "none", "learners": ["A", "B", "X"], "tab": "all"}),
        say("course.started", {"learner": "A", "course": "all"}),
        say("course.started", {"learner": "B", "course": "none"}),
        say("course.started", {"learner": "X", "course": "all"}),
        say("learner.status_changed", {"learner": "A", "status": "inactive", "version": 5}),
        say("course.started", {"learner": "A", "course": "some"}),
        say("learner.saved", world.learner("U", version=1, status="inactive", email=None)),
        say("course.completed", {"learner": "A", "course": "all", "result": "passed", "score": 1.0}),
        say("enrolment.withdrawn", {"course": "none", "learners": ["B"]}),
        say("learner.status_changed", {"learner": "A", "status": "active", "version": 6}),
        say("enrolment.requested", {"request": "r2", "course": "none", "segment": "t"}),
        say("course.started", {"learner": "C", "course": "all"}),
        say("learner.status_changed", {"learner": "U", "status": "active", "version": 2}),
        say("learner.saved", world.learner("X", version=1)),
    ]


@few
@given(st.data())
def test_r32_any_number_of_deliveries_in_any_batches_has_the_effect_of_one(world: World, data: st.DataObject) -> None:
    begin_anew(world)
    events = lived(world)
    world.send(*moved(events, world.organisation))
    once = content(world)

    begin_anew(world)
    another = moved(events, world.organisation)
    delivered: list[bytes] = []
    for position, event in enumerate(another):
        delivered.append(event)
        if data.draw(st.booleans()):
            delivered.append(another[data.draw(st.integers(0, position))])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(delivered)), max_size=6)))
    for low, high in itertools.pairwise([0, *cuts, len(delivered)]):
        world.send(*delivered[low:high])

    assert content(world) == once
    world.send(*another)
    assert content(world) == once
