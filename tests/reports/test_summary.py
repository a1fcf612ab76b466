"""Analytics by course: R29. They are what the export of the active adds up to."""

import itertools
from collections import Counter
from dataclasses import astuple
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tasks.reports import CourseSummary, Tab
from tests.reports.reading import enrolments, lines, summarised
from tests.world import World

#: One for everyone, one for a segment, one by hand: as they begin.
COURSES = ("all", "some", "none")

_numbers = itertools.count(1)


def added_up(rows: list[dict[str, Any]]) -> dict[str, CourseSummary]:
    """What rows of the training report come to, by course."""
    courses = {row["course"]: row["title"] for row in rows}
    counted: Counter[tuple[str, str]] = Counter()
    for row in rows:
        course = row["course"]
        if row["withdrawn_at"]:
            counted[course, "withdrawn"] += 1
            continue
        counted[course, "enrolled"] += 1
        counted[course, "started" if row["started_at"] else "not started"] += 1
        counted[course, "completed"] += bool(row["completed_at"])
    return {
        course: CourseSummary(
            course,
            title,
            *(counted[course, what] for what in ("enrolled", "started", "completed", "not started", "withdrawn")),
        )
        for course, title in courses.items()
    }


def test_r29_analytics_leave_inactive_and_deleted_learners_out(world: World) -> None:
    world.has_learners("A", "B", "C", "D", "E", "F")
    world.has_course("safety", "everyone", title="Safety")
    world.has_course("unused")
    for learner in "ABCD":
        world.starts(learner, "safety")
    for learner in "ABC":
        world.say("course.completed", learner=learner, course="safety", result="passed")
    assert [astuple(course) for course in summarised(world)] == [
        ("safety", "Safety", 6, 4, 3, 2, 0),
        ("unused", "Course unused", 0, 0, 0, 0, 0),
    ]

    world.becomes("inactive", "A", "F")
    world.say("learner.deleted", learner="B")

    assert [astuple(course) for course in summarised(world, "safety")] == [("safety", "Safety", 3, 2, 1, 1, 0)]
    assert [len(lines(world, tab)) for tab in Tab] == [3, 2]

    world.becomes("active", "A")

    assert [astuple(course) for course in summarised(world, "safety")] == [("safety", "Safety", 4, 3, 2, 1, 0)]


def test_r10_a_withdrawn_enrolment_is_withdrawn_and_nothing_else(world: World) -> None:
    world.has_learners("A", "B")
    world.has_course("safety", "everyone", title="Safety")
    world.starts("A", "safety")
    world.withdraws("safety", "A")

    assert [astuple(course) for course in summarised(world)] == [("safety", "Safety", 1, 0, 0, 1, 1)]


def test_r11_a_refresher_counts_by_itself(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone", title="Safety")
    world.starts("A", "safety")
    world.asks_to_enrol("safety", "A", cycle=2)

    assert [astuple(course) for course in summarised(world)] == [("safety", "Safety", 2, 1, 0, 1, 0)]


def test_r31_analytics_count_nobody_of_another_organisation(world: World) -> None:
    world.has_learners("A", "B")
    world.has_course("safety", "everyone")
    world.organisation = "other"
    world.has_organisation()
    world.has_learners("A")
    world.has_course("safety", "everyone", title="Theirs")

    assert [astuple(course) for course in summarised(world)] == [("safety", "Theirs", 1, 0, 0, 1, 0)]
    assert summarised(world, "not theirs") == []


someone = st.sampled_from("ABCD")
some = st.lists(someone, min_size=1, max_size=4, unique=True)
a_course = st.sampled_from(COURSES)
a_segment = st.sampled_from(["s", "t"])
a_cycle = st.sampled_from([1, 1, 2])
kinds: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "learner.status_changed": {"learner": someone, "status": st.sampled_from(["active", "inactive"])},
    "learner.deleted": {"learner": someone},
    "segment.joined": {"segment": a_segment, "learners": some},
    "segment.left": {"segment": a_segment, "learners": some},
    "course.saved": {
        "course": a_course,
        "title": st.just("Renamed"),
        "method": st.sampled_from(["manual", "everyone", "segments"]),
        "segments": st.lists(a_segment, unique=True),
        "on_hold": st.booleans(),
    },
    "enrolment.requested": {
        "request": st.uuids().map(str),
        "course": a_course,
        "learners": some,
        "cycle": a_cycle,
        "tab": st.sampled_from(["active", "all"]),
    },
    "enrolment.withdrawn": {"course": a_course, "learners": some},
    "course.started": {"learner": someone, "course": a_course, "cycle": a_cycle},
    "course.completed": {"learner": someone, "course": a_course, "cycle": a_cycle},
}
happenings = st.one_of(*(st.tuples(st.just(kind), st.fixed_dictionaries(data)) for kind, data in kinds.items()))


@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # every example costs a conversation with the database
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(happenings, min_size=8, max_size=30))
def test_r29_whatever_happened_analytics_are_what_the_export_adds_up_to(
    world: World, day: list[tuple[str, dict[str, Any]]]
) -> None:
    world.organisation = f"org {next(_numbers)}"
    world.has_organisation()
    say = world.event
    world.send(
        *(say("segment.saved", {"segment": id_, "name": id_}) for id_ in ("s", "t")),
        *(say("learner.saved", world.learner(id_)) for id_ in "ABCD"),
        say("course.saved", {"course": "all", "title": "all", "method": "everyone"}),
        say("course.saved", {"course": "some", "title": "some", "method": "segments", "segments": ["s"]}),
        say("course.saved", {"course": "none", "title": "none"}),
        say("segment.joined", {"segment": "s", "learners": ["A", "B"]}),
        say("enrolment.requested", {"request": "r", "course": "none", "learners": ["B", "C"], "tab": "all"}),
        *(
            say("course.started", {"learner": id_, "course": course})
            for id_, course in zip("ABC", COURSES, strict=True)
        ),
        say("course.completed", {"learner": "A", "course": "all"}),
        *(say(kind, data) for kind, data in day),
    )
    active, archived = lines(world, Tab.ACTIVE), lines(world, Tab.ARCHIVED)

    assert {one.course: one for one in summarised(world) if one.enrolled or one.withdrawn} == added_up(active)
    assert all(one.enrolled == one.started + one.not_started for one in summarised(world))
    assert {row["learner"] for row in active}.isdisjoint(row["learner"] for row in archived)
    for learner in {row["learner"] for row in active + archived}:
        assert [(e.course, e.cycle, e.sources, e.access) for e in enrolments(world, learner)] == sorted(
            (row["course"], row["cycle"], row["sources"], row["access"])
            for row in active + archived
            if row["learner"] == learner
        )
