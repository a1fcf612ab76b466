"""The same events in any order, cut into any batches, end as the facts say: R6, R10, S1, S2, S4.

What is decided once, on what was known then, is left out: a start, a selection by segment or by the *active* tab, a
version that an event did not have. The rest is a function of the set of events.
"""

import itertools
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.model.model import Facts, Model, Place
from tests.model.present import compare_enrolments, compare_people, event_of, histories, tables
from tests.world import DAWN, World

LEARNERS = ("A", "B", "C", "D")
SEGMENTS = ("s", "t")
COURSES = ("x", "y")
CYCLES = (1, 2)

_numbers = itertools.count(1)

hour = st.integers(1, 9)
who = st.sampled_from(LEARNERS)
several = st.lists(who, min_size=1, max_size=4, unique=True)
course = st.sampled_from(COURSES)
cycle = st.sampled_from(CYCLES)

#: Of A and B every event has a version, of C and D none has: an event without one takes the highest known (S1).
version = {learner: st.integers(1, 9) if learner in {"A", "B"} else st.none() for learner in LEARNERS}


def said(type_: str, **data: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, datetime, dict[str, Any]]]:
    """An event of a type, at any hour."""
    moment = hour.map(lambda hours: DAWN + timedelta(hours=hours))
    return st.tuples(st.just(type_), moment, st.fixed_dictionaries(data))


statuses = who.flatmap(
    lambda learner: said(
        "learner.status_changed",
        learner=st.just(learner),
        status=st.sampled_from(["active", "inactive"]),
        version=version[learner],
    )
)
descriptions = who.flatmap(
    lambda learner: said(
        "learner.saved",
        learner=st.just(learner),
        status=st.none() | st.sampled_from(["active", "inactive"]),
        version=version[learner],
    )
)
#: D alone is deleted: whom a request selects depends on who is known when it comes. Never at another event's time.
deletions = said("learner.deleted", learner=st.just("D")).map(
    lambda event: (event[0], event[1] + timedelta(minutes=30), event[2])
)
moves = said("segment.joined", segment=st.sampled_from(SEGMENTS), learners=several) | said(
    "segment.left", segment=st.sampled_from(SEGMENTS), learners=several
)
courses = said(
    "course.saved",
    course=course,
    title=st.just("T"),
    on_hold=st.just(False),
    method=st.sampled_from(["everyone", "segments", "segments", "manual"]),
    segments=st.lists(st.sampled_from(SEGMENTS), unique=True),
)
requests = said(
    "enrolment.requested",
    course=course,
    learners=several.map(lambda listed: [learner for learner in listed if learner != "D"]),
    tab=st.just("all"),
    cycle=cycle,
)
withdrawals = said("enrolment.withdrawn", course=course, learners=several, cycle=st.none() | cycle)
lives = st.lists(
    st.one_of(statuses, descriptions, deletions, moves, moves, courses, courses, requests, requests, withdrawals),
    min_size=4,
    max_size=24,
).filter(
    # of two descriptions of a course at one time the rules do not say which holds
    lambda events: len(times := [(e[2]["course"], e[1]) for e in events if e[0] == "course.saved"]) == len(set(times))
)


@histories(12)
@given(st.data(), lives, st.sampled_from([2, 5000]))
def test_r06_r10_the_same_events_in_any_order_and_any_batches_end_as_the_facts_say(
    world: World, data: st.DataObject, history: list[tuple[str, datetime, dict[str, Any]]], chunk: int
) -> None:
    some = replace(world.runtime, settings=world.runtime.settings.model_copy(update={"rollcall_chunk": chunk}))
    world = World(some, world.redis, world.mail, f"org {next(_numbers)}")
    world.has_organisation()
    first = [world.event("learner.saved", {"learner": learner}, at=DAWN) for learner in LEARNERS]
    first += [world.event("segment.saved", {"segment": id_, "name": id_}, at=DAWN) for id_ in SEGMENTS]
    known = [world.event("course.saved", {"course": id_, "title": id_}, at=DAWN) for id_ in COURSES]
    told = [
        world.event(type_, {k: v for k, v in said.items() if v is not None} | request_of(type_), at=time)
        for type_, time, said in history
    ]
    order = data.draw(st.permutations([*known, *told]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=4)))

    world.send(*first)
    for low, high in itertools.pairwise([0, *cuts, len(order)]):
        world.send(*order[low:high])
    world.settle()

    facts = facts_of([*first, *known, *told])
    with tables(world) as found:
        compare_people(found, world.organisation, facts)
    compare_enrolments(world, facts, itertools.starmap(Place, itertools.product(LEARNERS, COURSES, CYCLES)))
    assert world.quarantine() == {}


def request_of(type_: str) -> dict[str, str]:
    """A request has an id of its own."""
    return {"request": f"r{next(_numbers)}"} if type_ == "enrolment.requested" else {}


def facts_of(bodies: list[bytes]) -> Facts:
    """The facts that a set of events makes known."""
    model = Model(LEARNERS, SEGMENTS, COURSES, CYCLES, at_once=True)
    model.take(sorted(map(event_of, bodies), key=lambda event: event.time))
    return model.facts
