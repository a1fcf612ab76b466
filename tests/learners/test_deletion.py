"""Deleting a learner: S15."""

from tests.world import World


def test_s15_what_identifies_a_learner_goes_and_what_was_charged_stays(world: World) -> None:
    world.has_segment("nurses")
    world.has_learners("A", "B")
    world.say("segment.joined", segment="nurses", learners=["A"])
    world.mail.on_recipient = lambda address, _times: f"550 5.1.1 {address} is not here" if "a@" in address else None
    world.has_course("safety", "everyone")
    world.settle()
    world.starts("A", "safety")

    world.say("learner.deleted", learner="A")
    world.settle()

    assert [(entry.learner, entry.amount) for entry in world.ledger()] == [(None, 1)]
    assert world.out("access.suspended") == [{"learner": "A"}]
    assert world.ask("SELECT count(*) FROM memberships WHERE member") == 0
    assert world.ask("SELECT bool_or(granted) FROM access JOIN learners USING (learner) WHERE id = 'A'") is False
    for table in ("learners", "deliveries", "attempts", "suppressions", "inbox"):
        kept = world.list(f"SELECT CAST(t AS text) FROM {table} t")
        assert [row for row in kept if "a@acme" in row or "FirstA" in row or "user-A" in row] == [], table
