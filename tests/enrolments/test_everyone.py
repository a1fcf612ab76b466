"""A course for everyone: R4, R7, R11, R12, R22."""

from tests.world import World


def test_r07_everyone_enrols_inactive_learners_silently(world: World) -> None:
    world.has_learners("A", "B")
    world.has_learners("C", status="inactive")

    world.has_course("safety", "everyone")
    world.settle()

    assert not world.enrolments("A")["safety"].silent
    assert world.enrolments("C")["safety"].silent
    assert world.access("A") == {"safety"}
    assert world.access("C") == set()
    assert world.mail.recipients == ["a@acme.example", "b@acme.example"]
    assert world.ledger() == []
    assert world.out("enrolment.changed") == [
        {"course": "safety", "cycle": 1, "cause": "rule", "enrolled": ["A", "B"], "silent": ["C"], "withdrawn": []}
    ]


def test_r12_two_sources_with_one_event_id_are_two_events_with_a_mail_each(world: World) -> None:
    world.has_learners("A")
    courses = [{"course": id_, "title": f"Course {id_}", "method": "everyone"} for id_ in ("one", "two")]

    for source, course in zip(("urn:first", "urn:second"), courses, strict=True):
        world.send(world.event("course.saved", course, id_="same", source=source))
    world.settle()

    said = [str(mail.get_body(("plain",))) for mail in world.mail.to("a@acme.example")]
    assert [("Course one" in text, "Course two" in text) for text in said] == [(True, False), (False, True)]
    assert len({mail["Message-ID"] for mail in world.mail.to("a@acme.example")}) == 2


def test_r05_two_sources_with_one_event_id_bring_back_two_learners(world: World) -> None:
    world.has_learners("A", "B", status="inactive", email=None)

    for source, id_ in (("urn:first", "A"), ("urn:second", "B")):
        world.send(
            world.event("learner.status_changed", {"learner": id_, "status": "active"}, id_="same", source=source)
        )
    world.settle()

    assert [event["learner"] for event in world.out("learner.password_void")] == ["A", "B"]
    assert len(world.mail.to("admin@acme.example")) == 2
    assert world.quarantine() == {}
