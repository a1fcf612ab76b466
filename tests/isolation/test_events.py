"""R31: whatever the platform says of one organisation changes nothing of another's."""

from typing import Any

from tasks.events.schemas import TYPES
from tests.isolation.neighbours import ONLY_THEIRS, OURS, THEIRS, belongings
from tests.world import World

#: What is said of ours: each naming ids that theirs has too, then one that only they have.
SAID: dict[str, list[dict[str, Any]]] = {
    "platform.organisation.saved": [{"name": "Acme", "licence": "seats", "pool": 1}],
    "platform.learner.saved": [
        {"learner": id_, "username": "renamed", "email": "renamed@acme.example", "status": "inactive"}
        for id_ in ("A", ONLY_THEIRS)
    ],
    "platform.learner.status_changed": [{"learner": id_, "status": "active"} for id_ in ("A", "B", ONLY_THEIRS)],
    "platform.learner.deleted": [{"learner": id_} for id_ in ("C", ONLY_THEIRS)],
    "platform.segment.saved": [{"segment": id_, "name": "Renamed"} for id_ in ("nurses", ONLY_THEIRS)],
    "platform.segment.joined": [
        {"segment": "nurses", "learners": ["D"]},
        {"segment": ONLY_THEIRS, "learners": ["A", ONLY_THEIRS]},
    ],
    "platform.segment.left": [
        {"segment": "nurses", "learners": ["A", "B", ONLY_THEIRS]},
        {"segment": ONLY_THEIRS, "learners": ["A", ONLY_THEIRS]},
    ],
    "platform.course.saved": [
        {"course": "art", "title": "Art", "cost": 9, "method": "everyone"},
        {"course": "safety", "title": "Safety", "on_hold": True},
        {"course": ONLY_THEIRS, "title": "Ours", "method": "segments", "segments": ["nurses", ONLY_THEIRS]},
    ],
    "platform.enrolment.requested": [
        {"request": "r2", "course": "art", "learners": ["A", "B", ONLY_THEIRS], "tab": "all", "cycle": 2},
        {"request": ONLY_THEIRS, "course": "law", "segment": "nurses"},
        {"request": "r3", "course": ONLY_THEIRS, "learners": ["A"], "tab": "active"},
    ],
    "platform.enrolment.withdrawn": [
        {"course": "safety", "learners": ["A", "B", ONLY_THEIRS]},
        {"course": ONLY_THEIRS, "learners": ["A"]},
    ],
    "platform.course.started": [
        {"learner": "A", "course": "art"},
        {"learner": ONLY_THEIRS, "course": "safety"},
        {"learner": "A", "course": ONLY_THEIRS},
    ],
    "platform.course.completed": [
        {"learner": "A", "course": "art", "result": "failed"},
        {"learner": ONLY_THEIRS, "course": ONLY_THEIRS},
    ],
    "platform.announcement.requested": [
        {"announcement": "new", "subject": "Hi", "body": "Hi", "audience": {"everyone": True}},
        {"announcement": "more", "subject": "Hi", "body": "Hi", "audience": {"learners": ["A", ONLY_THEIRS]}},
        {"announcement": ONLY_THEIRS, "subject": "Hi", "body": "Hi", "audience": {"segments": [ONLY_THEIRS]}},
    ],
}


def test_r31_every_type_of_event_is_tried_on_a_neighbour() -> None:
    assert SAID.keys() == TYPES.keys()


def test_r31_no_event_crosses_over(neighbours: World) -> None:
    before = belongings(neighbours, THEIRS)
    crossed, in_vain = {}, []

    for type_, said in SAID.items():
        ours = belongings(neighbours, OURS)
        for data in said:
            neighbours.say(type_.removeprefix("platform."), **data)
            neighbours.settle()
        after = belongings(neighbours, THEIRS)
        if changed := [what for what in before if after[what] != before[what]]:
            crossed[type_] = changed
        if len(changed_ours := [what for what, rows in belongings(neighbours, OURS).items() if rows != ours[what]]) < 2:
            in_vain.append((type_, changed_ours))

    assert crossed == {}
    assert in_vain == [], "nothing but the inbox of ours changed"


def test_r31_an_event_under_the_id_of_a_neighbours_is_told_from_it_by_its_source(neighbours: World) -> None:
    before = belongings(neighbours, THEIRS)

    taken = neighbours.send(
        neighbours.event("course.started", {"learner": "A", "course": "law"}, id_=ONLY_THEIRS, source="urn:acme")
    )

    assert (taken.new, taken.deferred) == (1, 0)
    assert belongings(neighbours, THEIRS) == before
