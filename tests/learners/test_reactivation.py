"""A learner made inactive, and active again: R1, R3, R4, R5, R12, S7, S8."""

import json

from tests.world import World

ADMINS = ["ann@acme.example", "bob@acme.example"]


def everything_said(world: World) -> str:
    """All that left the system or is kept of it: events, mail, work."""
    kept = world.list("SELECT to_jsonb(t)::text FROM (SELECT * FROM outbox) t")
    kept += world.list("SELECT to_jsonb(t)::text FROM (SELECT * FROM work) t")
    kept += world.list("SELECT to_jsonb(t)::text FROM (SELECT * FROM mailings) t")
    mail = [message.as_string() for _, message in world.mail.taken]
    return "\n".join([*kept, json.dumps(world.out()), *mail])


def test_r01_toggling_duplicates_no_enrolment_no_mail_and_no_charge(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.starts("A", "safety")
    world.settle()

    for _ in range(3):
        world.becomes("inactive", "A")
        world.becomes("active", "A")
    world.settle()

    assert world.access("A") == {"safety"}
    assert world.ask("SELECT count(*) FROM enrolments") == 1
    assert world.mail.recipients == ["a@acme.example"]
    assert len(world.ledger()) == 1
    assert len(world.out("seat.consumed")) == 1
    assert len(world.out("access.suspended")) == len(world.out("access.activated")) == 3


def test_r01_making_somebody_what_they_are_already_changes_nothing(world: World) -> None:
    world.has_learners("A", email=None)
    world.has_learners("B", status="inactive")

    world.becomes("active", "A")
    world.becomes("inactive", "B")
    world.settle()

    assert world.out() == []
    assert world.mail.taken == []


def test_r03_an_inactive_learner_has_no_access_to_anything(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.has_course("first-aid", "everyone")
    world.starts("A", "safety")
    world.say("course.completed", learner="A", course="safety", result="passed", score=0.9)
    assert world.access("A") == {"safety", "first-aid"}

    world.becomes("inactive", "A")
    world.settle()

    assert world.access("A") == set()
    assert world.enrolments("A")["safety"].missing == ["active"]
    assert world.enrolments("A")["safety"].result == "passed"
    assert world.out("access.suspended") == [{"learner": "A"}]


def test_r03_a_course_on_hold_and_a_withdrawal_close_access_too(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone", on_hold=True)
    world.has_course("first-aid", "everyone")
    world.withdraws("first-aid", "A")

    assert world.access("A") == set()
    assert world.enrolments("A")["safety"].missing == ["not on hold"]
    assert world.enrolments("A")["first-aid"].missing == ["not withdrawn"]


def test_r04_reactivation_gives_access_at_once_silent_enrolments_included(world: World) -> None:
    world.has_learners("A")
    world.has_course("zoology", "everyone")
    world.has_course("Botany", "everyone")
    world.becomes("inactive", "A")
    world.has_course("anatomy", "everyone")
    world.has_course("held", "everyone", on_hold=True)
    world.has_course("left", "everyone")
    world.withdraws("left", "A")
    assert world.enrolments("A")["anatomy"].silent

    world.becomes("active", "A")

    assert world.access("A") == {"anatomy", "Botany", "zoology"}
    anatomy = world.enrolments("A")["anatomy"]
    assert anatomy.silent
    assert anatomy.activated_at == world.clock
    world.settle()
    assert world.out("access.activated") == [{"learner": "A", "courses": ["Botany", "anatomy", "zoology"]}]


def test_r04_a_learner_saved_as_active_again_is_reactivated(world: World) -> None:
    world.has_learners("A", status="inactive", version=1)
    world.has_course("safety", "everyone")

    world.has_learners("A", status="active", version=2)
    world.settle()

    assert world.access("A") == {"safety"}
    assert world.out("access.activated") == [{"learner": "A", "courses": ["safety"]}]


def test_r05_admins_are_told_once_of_all_who_sign_in_by_username(world: World) -> None:
    world.has_organisation(admin_emails=ADMINS)
    world.has_learners("U1", "U2", email=None, status="inactive")
    world.has_learners("E1", status="inactive")

    world.becomes("active", "U1", "E1", "U2")
    world.settle()

    assert world.mail.recipients == ADMINS
    for admin in ADMINS:
        [message] = world.mail.to(admin)
        text = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
        assert "user-U1" in text
        assert "user-U2" in text
        assert "user-E1" not in text
    assert world.out("learner.password_void") == [
        {"learner": "U1", "username": "user-U1"},
        {"learner": "U2", "username": "user-U2"},
    ]


def test_r05_the_username_is_kept_and_nothing_secret_is_said(world: World) -> None:
    world.has_learners("U", email=None, status="inactive", password="hunter2", token="tk_9f8e")

    world.becomes("active", "U")
    world.settle()

    assert world.ask("SELECT username FROM learners WHERE id = 'U'") == "user-U"
    said = everything_said(world)
    assert "password_void" in said
    assert "hunter2" not in said
    assert "tk_9f8e" not in said


def test_r05_learners_who_sign_in_by_mail_are_left_alone(world: World) -> None:
    world.has_learners("E", status="inactive")

    world.becomes("active", "E")
    world.settle()

    assert world.out("learner.password_void") == []
    assert world.mail.taken == []


def test_s08_one_mail_for_a_batch_of_reactivations_whatever_lies_between_them(world: World) -> None:
    world.has_learners("U1", "U2", "U3", email=None, status="inactive")

    world.send(
        world.event("learner.status_changed", {"learner": "U1", "status": "active"}),
        world.event("segment.saved", {"segment": "s", "name": "S"}),
        world.event("learner.saved", world.learner("U2", email=None, status="active")),
        world.event("learner.status_changed", {"learner": "U3", "status": "active"}),
    )
    world.settle()

    [message] = world.mail.to("admin@acme.example")
    text = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert all(f"user-U{n}" in text for n in (1, 2, 3))


def test_s08_an_organisation_without_admins_is_told_by_event_alone(world: World) -> None:
    world.has_organisation(admin_emails=[])
    world.has_learners("U", email=None, status="inactive")

    world.becomes("active", "U")
    world.settle()

    assert len(world.out("learner.password_void")) == 1
    assert world.ask("SELECT count(*) FROM mailings") == 0


def test_r12_notices_held_back_while_inactive_are_not_sent_at_reactivation(world: World) -> None:
    world.has_learners("A", status="inactive")
    world.has_course("safety", "everyone")
    world.settle()

    world.becomes("active", "A")
    world.settle()

    assert world.access("A") == {"safety"}
    assert world.mail.taken == []


def test_r12_a_notice_that_was_due_when_the_learner_became_inactive_is_never_sent(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")

    world.becomes("inactive", "A")
    world.settle()
    world.becomes("active", "A")
    world.settle()

    assert world.mail.taken == []
    assert world.list("SELECT reason FROM deliveries") == ["inactive"]


def test_s07_a_digest_lists_once_what_became_available(world: World) -> None:
    world.has_organisation(reactivation_digest=True)
    world.has_learners("A", "B", status="inactive")
    world.has_course("safety", "everyone", title="Safety first")
    world.has_course("held", "everyone", title="Not now", on_hold=True)

    world.becomes("active", "A")
    world.settle()
    world.becomes("inactive", "A")
    world.becomes("active", "A")
    world.settle()

    [message] = world.mail.to("a@acme.example")
    text = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "Safety first" in text
    assert "Not now" not in text
    assert ":digest:" in message["Feedback-ID"]
    assert world.mail.recipients == ["a@acme.example"]


def test_r04_a_learner_with_a_thousand_enrolments_gets_access_to_all_and_nobody_else_is_touched(world: World) -> None:
    world.has_learners("A", "B", status="inactive")
    world.execute(
        """
        INSERT INTO courses (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
        SELECT 1, 'course ' || n, 'Course', 1, false, 'manual', now(), now() FROM generate_series(1, 1000) AS n
        """
    )
    world.execute(
        """
        INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at)
        SELECT 1, course, 1, learner, true, 0, now() FROM courses, learners
        """
    )
    others = "SELECT CAST(e.ctid AS text) FROM enrolments e JOIN learners USING (organisation, learner) WHERE id = 'B'"
    before = world.list(others)

    world.becomes("active", "A")
    world.settle()

    assert world.list(others) == before
    assert len(world.access("A")) == 1000
    assert world.out("access.activated") == [
        {"learner": "A", "courses": sorted(f"course {n}" for n in range(1, 1001))},
    ]
