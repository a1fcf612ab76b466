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
