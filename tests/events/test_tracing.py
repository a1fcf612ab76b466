"""One id from an event to what follows from it: work, mail, events out, and the lines of the log."""

from typing import Any

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from config.tracing import read, trace_id
from tests.world import World

ONE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


def traces(world: World) -> dict[str, set[str | None]]:
    """The traces of the events out, by their type."""
    found: dict[str, set[str | None]] = {}
    for event in world.out():
        found.setdefault(event["type"].removeprefix("rollcall."), set()).add(event.get("traceparent"))
    return found


def traces_by_learner(world: World, type_: str) -> dict[str, str | None]:
    """The traces of the events out of one type, by their learner."""
    return {
        event["data"]["learner"]: event.get("traceparent")
        for event in world.out()
        if event["type"] == f"rollcall.{type_}"
    }


def test_the_trace_of_an_event_is_carried_through_work_and_mail_to_the_events_out(world: World) -> None:
    settings = world.runtime.settings.model_copy(update={"rollcall_chunk": 2})
    object.__setattr__(world.runtime, "settings", settings)
    world.has_learners("A", "B", "C", "D", "E")
    world.has_course("safety")
    asked = {"request": "r1", "course": "safety", "learners": ["A", "B", "C", "D", "E"], "tab": "all"}
    with capture_logs([merge_contextvars]) as logged:
        world.send(world.event("enrolment.requested", asked, traceparent=ONE))
        assert world.ask("SELECT count(*) FROM work WHERE traceparent = :one", one=ONE) > 0, "it is more than a chunk"
        world.settle()
        said = {"announcement": "news", "subject": "Hi", "body": "Hi", "audience": {"everyone": True}}
        world.send(world.event("announcement.requested", said, traceparent=OTHER))
        world.settle()

    assert traces(world) == {
        "enrolment.changed": {ONE},
        "enrolment.finished": {ONE},
        "announcement.finished": {OTHER},
    }
    assert world.list("SELECT DISTINCT traceparent FROM mailings WHERE kind = 'enrolment'") == [ONE]
    by_trace: dict[str, set[Any]] = {}
    for line in logged:
        by_trace.setdefault(line["event"], set()).add(line.get("trace_id"))
    assert by_trace["fanout.begun"] == {trace_id(ONE)}
    assert by_trace["mailing.launched"] == {trace_id(OTHER)}


def test_events_that_are_applied_together_keep_their_own_traces(world: World) -> None:
    world.has_learners("A", "B", "C")
    world.has_course("safety", "everyone")
    world.send(
        world.event("course.started", {"learner": "A", "course": "safety"}, traceparent=ONE),
        world.event("course.started", {"learner": "B", "course": "safety"}, traceparent=OTHER),
        world.event("course.started", {"learner": "C", "course": "safety"}),
    )
    statuses = [("A", "inactive", OTHER), ("B", "inactive", ONE), ("A", "active", ONE), ("B", "active", OTHER)]
    world.has_learners("A", "B", email=None)
    world.send(
        *(
            world.event("learner.status_changed", {"learner": learner, "status": status}, traceparent=trace)
            for learner, status, trace in statuses
        )
    )
    world.settle()

    assert traces_by_learner(world, "seat.consumed") == {"A": ONE, "B": OTHER, "C": None}
    assert traces_by_learner(world, "access.suspended") == {"A": OTHER, "B": ONE}
    assert traces_by_learner(world, "learner.password_void") == {"A": ONE, "B": OTHER}


def test_an_event_keeps_its_trace_beside_one_without_and_what_several_cause_has_none(world: World) -> None:
    world.has_learners("A")
    world.has_learners("U", email=None, status="inactive")
    world.has_course("safety")
    asked = {"request": "r1", "course": "safety", "learners": ["A"], "tab": "all"}

    world.send(
        world.event("enrolment.requested", asked, traceparent=ONE),
        world.event("segment.saved", {"segment": "s", "name": "S"}),
    )
    world.send(world.event("learner.status_changed", {"learner": "U", "status": "active"}, traceparent=OTHER))

    world.has_course("hygiene", "everyone")
    saved = {"B": ONE, "C": OTHER}
    world.send(*(world.event("learner.saved", world.learner(id_), traceparent=said) for id_, said in saved.items()))

    assert world.rows("SELECT kind, traceparent FROM mailings ORDER BY mailing") == [
        ("enrolment", ONE),
        ("password", None),
        *[("enrolment", None)] * 3,
    ]


def test_an_event_that_waits_keeps_its_trace(world: World) -> None:
    world.has_learners("A")
    world.send(world.event("course.started", {"learner": "A", "course": "safety"}, traceparent=ONE))
    world.has_course("safety", "everyone")
    world.settle()

    assert traces(world)["seat.consumed"] == {ONE}


@pytest.mark.parametrize(
    "odd", [7, None, "", "x", ONE.upper(), ONE + "-", f"ff{ONE[2:]}", f"00-{'0' * 32}-{'1' * 16}-00"]
)
def test_what_is_no_trace_is_passed_over_and_the_event_is_taken(world: World, odd: object) -> None:
    done = world.send(world.event("segment.saved", {"segment": "s", "name": "S"}, traceparent=odd))

    assert (read(odd), done.new, done.malformed) == (None, 1, 0)
