"""What an admin asks for by name: R8, R9, R11, R13, R14, S3, S4, S6, S16."""

from datetime import timedelta
from typing import Any

from config.database import execute, transaction
from tasks.enrolments import finish_fanouts
from tests.world import DAWN, World

HOUR = timedelta(hours=1)


def finished(world: World) -> list[dict[str, Any]]:
    """How the requests ended; each adds up (R14)."""
    found = world.out("enrolment.finished")
    for counts in found:
        parts = counts["enrolled"] + counts["silent"] + counts["already"] + sum(counts["not_eligible"].values())
        assert counts["selected"] == parts, counts
    return found


def test_r08_the_active_tab_enrols_only_who_is_active(world: World) -> None:
    world.has_learners("A", "B")
    world.has_learners("C", status="inactive")
    world.has_course("safety")

    world.asks_to_enrol("safety", "A", "B", "C", "nobody", "A", tab="active", request="r")
    world.settle()

    assert [set(world.enrolments(who)) for who in "ABC"] == [{"safety"}, {"safety"}, set()]
    assert finished(world) == [
        {
            "request": "r",
            "course": "safety",
            "selected": 4,
            "enrolled": 2,
            "silent": 0,
            "already": 0,
            "not_eligible": {"inactive": 1, "unknown": 1},
        }
    ]


def test_r08_the_all_users_tab_enrols_inactive_learners_silently(world: World) -> None:
    world.has_learners("A")
    world.has_learners("C", status="inactive")
    world.has_course("safety")

    world.asks_to_enrol("safety", "A", "C", tab="all")
    world.settle()

    assert world.access("A") == {"safety"}
    silent = world.enrolments("C")["safety"]
    assert (silent.silent, silent.access, silent.activated_at) == (True, False, None)
    assert world.mail.recipients == ["a@acme.example"]
    assert (finished(world)[0]["enrolled"], finished(world)[0]["silent"]) == (1, 1)


def test_r09_enrolling_a_segment_includes_its_inactive_members_silently(world: World) -> None:
    world.has_learners("A", "B", "C")
    world.has_segment("s", "A", "B", "ghost")
    world.becomes("inactive", "B")
    world.has_course("safety")

    world.say("enrolment.requested", request="r", course="safety", segment="s")
    world.settle()

    assert world.enrolments("A")["safety"].sources == ["request:r"]
    assert world.enrolments("B")["safety"].silent
    assert world.enrolments("C") == {}
    assert world.mail.recipients == ["a@acme.example"]
    [counts] = finished(world)
    assert (counts["selected"], counts["not_eligible"]) == (3, {"unknown": 1})
    assert world.list("SELECT count(*) FROM memberships WHERE member") == [3]


def test_r11_enrolling_who_is_enrolled_changes_nothing_and_sends_nothing(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety")
    world.asks_to_enrol("safety", "A", request="first")
    world.settle()
    before = world.enrolments("A")["safety"]

    world.asks_to_enrol("safety", "A", request="second")
    world.settle()

    after = world.enrolments("A")["safety"]
    assert after.enrolled_at == before.enrolled_at
    assert after.sources == ["request:first", "request:second"]
    assert world.mail.recipients == ["a@acme.example"]
    assert [counts["already"] for counts in finished(world)] == [0, 1]
    assert len(world.out("enrolment.changed")) == 1


def test_s06_being_enrolled_again_while_active_leaves_a_silent_enrolment_silent(world: World) -> None:
    world.has_learners("A", status="inactive")
    world.has_course("safety", "everyone")
    world.becomes("active", "A")

    world.asks_to_enrol("safety", "A", request="r")
    world.settle()

    enrolment = world.enrolments("A")["safety"]
    assert enrolment.silent
    assert enrolment.sources == ["everyone", "request:r"]
    assert world.mail.taken == []


def test_r11_a_refresher_is_a_cycle_of_its_own(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")

    world.asks_to_enrol("safety", "A", cycle=2)
    world.settle()

    assert world.list("SELECT cycle FROM enrolments ORDER BY cycle") == [1, 2]
    assert [counts["enrolled"] for counts in finished(world)] == [1]


def test_r12_a_request_without_notice_sends_none(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety")

    world.asks_to_enrol("safety", "A", notify=False)
    world.settle()

    assert world.access("A") == {"safety"}
    assert world.mail.taken == []


def test_s07_no_notice_for_a_course_on_hold(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", on_hold=True)

    world.asks_to_enrol("safety", "A")
    world.settle()

    assert "safety" in world.enrolments("A")
    assert world.mail.taken == []


def test_s07_beside_a_course_on_hold_the_others_that_a_rule_enrols_in_are_told(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "segments", segments=["s"])
    world.has_course("privacy", "segments", segments=["s"], on_hold=True)

    world.say("segment.joined", segment="s", learners=["A"])
    world.settle()

    assert world.enrolments("A").keys() == {"safety", "privacy"}
    assert len(world.mail.taken) == 1


def test_r12_an_enrolment_told_within_a_day_is_not_told_again(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety")
    world.asks_to_enrol("safety", "A")
    world.settle()

    world.withdraws("safety", "A")
    world.asks_to_enrol("safety", "A")
    world.settle()
    assert world.access("A") == {"safety"}
    assert world.mail.recipients == ["a@acme.example"]

    world.execute("UPDATE deliveries SET settled_at = settled_at - interval '25 hours'")
    world.withdraws("safety", "A")
    world.asks_to_enrol("safety", "A")
    world.settle()
    assert world.mail.recipients == ["a@acme.example"] * 2


def test_r13_an_empty_list_enrols_nobody(world: World) -> None:
    world.has_learners("A", "B")
    world.has_course("safety")
    world.has_segment("nobody")

    world.asks_to_enrol("safety")
    world.asks_to_enrol("safety", tab="active")
    world.say("enrolment.requested", request="empty", course="safety", segment="nobody")
    world.settle()

    assert world.ask("SELECT count(*) FROM enrolments") == 0
    assert [counts["selected"] for counts in finished(world)] == [0, 0, 0]
    assert (world.mail.taken, world.list("SELECT mailing FROM mailings")) == ([], [])


def test_s03_a_request_judges_who_is_active_and_a_member_at_its_own_time(world: World) -> None:
    world.has_learners("A", "B", at=DAWN)
    world.has_segment("s", "A", at=DAWN)
    world.has_course("safety", at=DAWN)
    world.has_course("first-aid", at=DAWN)
    world.becomes("inactive", "A", at=DAWN + 2 * HOUR)
    world.say("segment.left", segment="s", learners=["A"], at=DAWN + 2 * HOUR)
    world.say("segment.joined", segment="s", learners=["B"], at=DAWN + 2 * HOUR)

    world.asks_to_enrol("safety", "A", tab="active", at=DAWN + HOUR)
    world.say("enrolment.requested", request="r", course="first-aid", segment="s", at=DAWN + HOUR)
    world.settle()

    assert {course: e.silent for course, e in world.enrolments("A").items()} == {"safety": True, "first-aid": True}
    assert world.enrolments("B") == {}


def test_s04_a_withdrawal_by_name_takes_every_source_and_stands_whatever_the_rules_say(world: World) -> None:
    world.has_learners("A")
    world.has_segment("s", "A")
    world.has_course("safety", "everyone")
    world.asks_to_enrol("safety", "A")
    world.asks_to_enrol("safety", "A", cycle=2)

    world.withdraws("safety", "A")
    world.has_course("safety", "segments", segments=["s"])
    world.has_course("safety", "everyone")
    world.settle()

    assert world.access("A") == set()
    assert world.list("SELECT count(*) FROM enrolments WHERE withdrawn_at IS NULL") == [0]
    assert world.enrolments("A")["safety"].sources == []
    withdrawn = [(event["cycle"], event["withdrawn"]) for event in world.out("enrolment.changed") if event["withdrawn"]]
    assert withdrawn == [(1, ["A"]), (2, ["A"])]


def test_s04_a_withdrawal_that_names_a_cycle_covers_that_one(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.asks_to_enrol("safety", "A", cycle=2)

    world.withdraws("safety", "A", cycle=2)

    assert world.list("SELECT cycle FROM enrolments WHERE withdrawn_at IS NULL") == [1]


def test_s04_a_later_request_brings_the_learner_back_and_is_recorded_anew(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.withdraws("safety", "A")
    world.becomes("inactive", "A")

    world.asks_to_enrol("safety", "A", request="r")
    world.settle()

    enrolment = world.enrolments("A")["safety"]
    assert (enrolment.silent, enrolment.withdrawn_at) == (True, None)
    assert enrolment.sources == ["everyone", "request:r"]
    assert enrolment.enrolled_at == world.clock


def test_s04_a_withdrawal_holds_against_every_request_before_it_whichever_comes_first(world: World) -> None:
    world.has_learners("A", "B", at=DAWN)
    world.has_course("safety", at=DAWN)
    world.asks_to_enrol("safety", "A", at=DAWN + HOUR)

    world.withdraws("safety", "A", "B", at=DAWN + 2 * HOUR)
    world.asks_to_enrol("safety", "A", "B", at=DAWN + HOUR)
    world.settle()

    assert (world.access("A"), world.access("B")) == (set(), set())
    assert [counts["not_eligible"] for counts in finished(world)] == [{}, {"withdrawn": 2}]


def test_requests_that_end_together_are_told_of_in_their_order(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety")
    for request in ("first", "second"):
        world.asks_to_enrol("safety", "A", request=request)

    with transaction(world.runtime.engine) as connection:
        execute(
            connection, "SELECT set_config('enable_nestloop', 'off', true), set_config('enable_mergejoin', 'off', true)"
        )
        finish_fanouts(connection)  # by a hash, which gives back what it was given last
    world.settle()

    assert [counts["request"] for counts in finished(world)] == ["first", "second"]


def test_s04_a_late_withdrawal_leaves_the_request_that_came_after_it_alone(world: World) -> None:
    world.has_learners("A", "B", at=DAWN)
    world.has_course("safety", at=DAWN)
    world.asks_to_enrol("safety", "A", "B", request="late", at=DAWN + 3 * HOUR)
    world.asks_to_enrol("safety", "A", request="early", at=DAWN + HOUR)

    world.withdraws("safety", "A", "B", at=DAWN + 2 * HOUR)
    world.asks_to_enrol("safety", "B", request="early too", at=DAWN + HOUR)
    world.settle()

    assert world.enrolments("A")["safety"].sources == ["request:late"]
    assert world.enrolments("B")["safety"].sources == ["request:late"]


def test_s04_a_started_enrolment_can_be_withdrawn_by_name(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.starts("A", "safety")

    world.withdraws("safety", "A")

    assert world.access("A") == set()
    assert len(world.ledger()) == 1


def test_s16_a_request_with_an_id_used_already_is_answered_with_the_first_result(world: World) -> None:
    world.has_learners("A", "B")
    world.has_course("safety")
    world.asks_to_enrol("safety", "A", request="r")
    world.settle()

    world.asks_to_enrol("safety", "A", "B", request="r")
    world.settle()

    assert world.enrolments("B") == {}
    first, second = finished(world)
    assert second == first
    assert (first["selected"], first["enrolled"]) == (1, 1)
    assert world.mail.recipients == ["a@acme.example"]
