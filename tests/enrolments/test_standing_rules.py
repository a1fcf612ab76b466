"""Enrolments made by rule follow the rules as they stand: R7, R9, R10, R12, R23, S5; also over several chunks."""

import threading
from datetime import timedelta

import pytest

from config.database import lock_organisations, transaction
from config.settings import Settings
from tests.workers.deployment import DEADLINE, until
from tests.world import DAWN, World, id_of, work_on

HOUR = timedelta(hours=1)
SEVEN = [f"L{n}" for n in range(7)]


def enrolled(world: World, course: str = "safety") -> set[str]:
    """Who is enrolled in a course."""
    return set(
        world.list(
            """
            SELECT l.id FROM enrolments e JOIN learners l USING (organisation, learner)
            JOIN courses c USING (organisation, course) WHERE c.id = :course AND e.withdrawn_at IS NULL
            """,
            course=course,
        )
    )


def test_r07_the_method_stands_for_learners_created_later(world: World) -> None:
    world.has_course("safety", "everyone")
    world.has_course("first-aid", "everyone")

    world.has_learners("A")
    world.has_learners("B", status="inactive")
    world.settle()

    assert world.access("A") == {"safety", "first-aid"}
    assert world.enrolments("B")["safety"].silent
    assert world.mail.recipients == ["a@acme.example"]
    [message] = world.mail.to("a@acme.example")
    text = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "Course safety" in text
    assert "Course first-aid" in text
    assert world.ledger() == []


def test_r12_whatever_one_event_enrols_a_learner_in_is_told_in_one_mail(world: World) -> None:
    world.has_learners("A", "B")
    world.has_segment("s")
    for course in ("one", "two", "three"):
        world.has_course(course, "segments", segments=["s"])

    world.say("segment.joined", segment="s", learners=["A", "B"])
    world.settle()

    assert world.access("A") == {"one", "two", "three"}
    assert world.mail.recipients == ["a@acme.example", "b@acme.example"]


def test_r10_joining_a_linked_segment_enrols_and_leaving_it_withdraws(world: World) -> None:
    world.has_learners("A", "B")
    world.has_segment("s")
    world.has_course("safety", "segments", segments=["s"])

    world.say("segment.joined", segment="s", learners=["A"])
    assert (world.access("A"), world.access("B")) == ({"safety"}, set())
    assert world.enrolments("A")["safety"].sources == ["segment:s"]

    world.say("segment.left", segment="s", learners=["A"])
    assert world.access("A") == set()
    assert world.enrolments("A")["safety"].missing == ["not withdrawn"]


def test_r09_an_inactive_learner_stays_in_its_segments_and_is_enrolled_by_them_silently(world: World) -> None:
    world.has_learners("A")
    world.has_segment("s", "A")
    world.becomes("inactive", "A")

    world.has_course("safety", "segments", segments=["s"])
    world.becomes("active", "A")
    world.settle()

    assert world.enrolments("A")["safety"].silent
    assert world.access("A") == {"safety"}
    assert world.mail.taken == []


def test_r10_a_learner_keeps_the_course_while_one_source_is_left(world: World) -> None:
    world.has_learners("A")
    world.has_segment("s", "A")
    world.has_segment("t", "A")
    world.has_course("safety", "segments", segments=["s", "t"])
    world.asks_to_enrol("safety", "A", request="r")
    assert world.enrolments("A")["safety"].sources == ["request:r", "segment:s", "segment:t"]

    world.say("segment.left", segment="s", learners=["A"])
    assert world.enrolments("A")["safety"].sources == ["request:r", "segment:t"]
    world.has_course("safety", "manual")
    assert world.enrolments("A")["safety"].sources == ["request:r"]
    assert world.access("A") == {"safety"}


def test_r10_unlinking_a_segment_withdraws_that_source_only(world: World) -> None:
    world.has_learners("A", "B")
    world.has_segment("s", "A")
    world.has_segment("t", "A", "B")
    world.has_course("safety", "segments", segments=["s", "t"])

    world.has_course("safety", "segments", segments=["s"])

    assert enrolled(world) == {"A"}


def test_r10_links_count_only_while_the_method_is_segments(world: World) -> None:
    world.has_learners("A", "B")
    world.has_segment("s", "A")
    world.has_course("safety", "manual", segments=["s"])
    assert enrolled(world) == set()

    world.has_course("safety", "everyone", segments=["s"])
    assert enrolled(world) == {"A", "B"}
    assert world.enrolments("A")["safety"].sources == ["everyone"]

    world.has_course("safety", "segments", segments=["s"])
    assert enrolled(world) == {"A"}


def test_r10_a_course_already_started_is_never_withdrawn_by_a_rule(world: World) -> None:
    world.has_learners("A", "B")
    world.has_course("safety", "everyone")
    world.starts("A", "safety")

    world.has_course("safety", "manual")

    assert enrolled(world) == {"A"}
    assert world.enrolments("A")["safety"].sources == []


def test_r10_coming_back_in_the_same_cycle_is_recorded_anew(world: World) -> None:
    world.has_learners("A")
    world.has_segment("s", "A")
    world.has_course("safety", "segments", segments=["s"])
    world.say("segment.left", segment="s", learners=["A"])
    world.becomes("inactive", "A")

    world.say("segment.joined", segment="s", learners=["A"])

    enrolment = world.enrolments("A")["safety"]
    assert (enrolment.silent, enrolment.withdrawn_at, enrolment.enrolled_at) == (True, None, world.clock)
    assert world.ask("SELECT count(*) FROM enrolments") == 1


def test_r11_describing_a_course_again_enrols_and_tells_nobody_again(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.settle()

    world.has_course("safety", "everyone", title="A new title")
    world.has_course("safety", "manual")
    world.has_course("safety", "everyone")
    world.settle()

    assert world.access("A") == {"safety"}
    assert world.mail.recipients == ["a@acme.example"]


def _survey(world: World) -> None:
    [(organisation, number)] = world.rows("SELECT organisation, work FROM work WHERE actor = 'enrolments.survey'")
    work_on(world.runtime, "enrolments.survey", organisation, number)


class TestOverSeveralChunks:
    """The same, where a fan-out is more than fits in one transaction."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"rollcall_chunk": 3, "rollcall_mail_batch": 2})

    def test_r07_everyone_is_enrolled_once_and_told_once(self, world: World) -> None:
        world.has_learners(*SEVEN)
        world.becomes("inactive", "L6")

        world.has_course("safety", "everyone")
        world.settle()

        assert enrolled(world) == set(SEVEN)
        assert world.mail.recipients == [f"l{n}@acme.example" for n in range(6)]
        assert world.enrolments("L6")["safety"].silent
        changed = world.out("enrolment.changed")
        assert sorted(learner for event in changed for learner in event["enrolled"]) == SEVEN[:6]
        assert [learner for event in changed for learner in event["silent"]] == ["L6"]

    def test_r07_many_who_come_at_once_are_enrolled_by_the_workers(self, world: World) -> None:
        for course in ("safety", "hygiene"):
            world.has_course(course, "everyone")

        world.has_learners(*SEVEN[:6])
        at_once = enrolled(world)
        world.settle()

        assert (at_once, enrolled(world)) == (set(), set(SEVEN[:6]))
        assert sorted(world.mail.recipients) == [f"l{n}@acme.example" for n in range(6)]

    def test_r04_many_who_are_active_again_at_once_have_access_and_the_platform_is_told_by_the_workers(
        self, world: World
    ) -> None:
        for course in ("safety", "hygiene"):
            world.has_course(course, "everyone")
        world.has_learners(*SEVEN[:6], status="inactive")
        world.settle()

        world.becomes("active", *SEVEN[:6])
        world.becomes("inactive", "L5")
        told = world.ask("SELECT count(*) FROM outbox WHERE type = 'rollcall.access.activated'")
        world.settle()

        assert told == 0
        assert {event["learner"] for event in world.out("access.activated")} == set(SEVEN[:5])
        assert world.access("L4") == {"safety", "hygiene"}

    def test_r10_who_joins_is_enrolled_at_once_however_many_others_there_are(self, world: World) -> None:
        world.has_learners(*SEVEN)
        world.has_segment("s")
        world.has_course("safety", "segments", segments=["s"])
        world.settle()

        world.say("segment.joined", segment="s", learners=["L3"])

        assert enrolled(world) == {"L3"}

    def test_r11_a_method_that_changes_nothing_is_looked_at_and_not_done(self, world: World) -> None:
        world.has_learners(*SEVEN)
        world.has_course("safety")
        world.asks_to_enrol("safety", *SEVEN)
        world.settle()
        told = len(world.out())

        world.has_course("safety", "everyone")
        assert world.list("SELECT actor FROM work") == ["enrolments.survey"]
        world.settle()

        assert len(world.out()) == told
        assert all(world.enrolments(learner)["safety"].sources[0] == "everyone" for learner in SEVEN)

    def test_r10_only_the_stretches_with_something_to_do_are_done(self, world: World) -> None:
        world.has_learners(*SEVEN)
        world.has_segment("s", *SEVEN[:4])
        world.has_course("safety", "segments", segments=["s"])
        world.settle()

        world.has_course("safety", "everyone")
        _survey(world)
        assert world.rows("SELECT low, high FROM work ORDER BY low") == [(4, 6), (7, 7)]
        world.settle()
        assert enrolled(world) == set(SEVEN)

        world.has_course("safety", "segments", segments=["s"])
        _survey(world)
        assert world.rows("SELECT low, high FROM work ORDER BY low") == [(4, 6), (7, 7)]
        world.settle()
        assert enrolled(world) == set(SEVEN[:4])

    @pytest.mark.parametrize(
        ("divided", "done", "left"),
        [(3, {"L0", "L1"}, [(3, 3), (4, 6), (7, 7)]), (4, {"L0", "L1", "L2"}, [(4, 6), (7, 7)])],
    )
    def test_r31_a_chunk_does_half_of_it_while_somebody_changes_the_organisation(
        self,
        world: World,
        monkeypatch: pytest.MonkeyPatch,
        divided: int,
        done: set[str],
        left: list[tuple[int, int]],
    ) -> None:
        """Unless it is small."""
        monkeypatch.setattr("tasks.enrolments.actors.DIVIDED", divided)
        world.has_learners(*SEVEN)
        world.has_course("first-aid")
        world.starts("L0", "first-aid")
        world.has_course("safety", "everyone")
        _survey(world)
        [(organisation, number)] = world.rows("SELECT organisation, work FROM work WHERE low = 1")
        doing = threading.Thread(target=work_on, args=(world.runtime, "enrolments.chunk", organisation, number))

        with transaction(world.runtime.engine) as connection:
            lock_organisations(connection, [organisation])
            doing.start()
            until(lambda: world.waiting() > 0, "it waits", seconds=DEADLINE)
        doing.join()

        assert enrolled(world) == done
        pieces = "SELECT low, high FROM work WHERE actor = 'enrolments.chunk' ORDER BY low"
        assert world.rows(pieces) == left
        [last] = world.list("SELECT work FROM work WHERE low = 4")
        monkeypatch.setattr("tasks.enrolments.actors.DIVIDED", 1)
        work_on(world.runtime, "enrolments.chunk", organisation, last)
        assert world.rows(pieces) == [piece for piece in left if piece != (4, 6)], "nobody changes anything"
        assert world.list("SELECT actor FROM work WHERE actor LIKE 'events%'") == [], "nothing waits for this"
        world.settle()
        assert enrolled(world) == set(SEVEN)

    def test_r31_a_survey_that_is_long_is_divided(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tasks.enrolments.actors.SURVEYED", 2)
        world.has_learners(*SEVEN)
        world.has_course("safety", "everyone")
        since = world.list("SELECT since FROM work")

        _survey(world)

        assert world.list("SELECT DISTINCT since FROM work") == since, "they keep its place"
        rests = "SELECT actor, low, high FROM work ORDER BY low"
        assert world.rows(rests) == [("enrolments.survey", 1, 6), ("enrolments.survey", 7, 7)]
        world.settle()
        assert enrolled(world) == set(SEVEN)

    def test_r31_the_chunks_that_a_survey_finds_keep_its_place(self, world: World) -> None:
        world.has_learners(*SEVEN)
        world.has_course("safety", "everyone")
        since = world.list("SELECT since FROM work WHERE actor = 'enrolments.survey'")

        _survey(world)

        assert world.list("SELECT DISTINCT since FROM work WHERE actor = 'enrolments.chunk'") == since

    def test_r10_the_method_that_stands_when_a_chunk_is_done_decides(self, world: World) -> None:
        world.has_learners(*SEVEN)
        world.has_course("safety", "everyone")

        world.has_course("safety", "manual")
        world.settle()

        assert enrolled(world) == set()
        assert world.mail.taken == []

    def test_r07_who_comes_or_changes_while_a_fanout_is_under_way_is_judged_once(self, world: World) -> None:
        world.has_learners(*SEVEN)
        world.has_course("safety", "everyone")

        world.has_learners("late")
        world.becomes("inactive", "L0")
        world.withdraws("safety", "L1")
        world.settle()

        assert enrolled(world) == {*SEVEN, "late"} - {"L1"}
        assert world.enrolments("L0")["safety"].silent
        assert world.mail.recipients == sorted(["late@acme.example", *(f"l{n}@acme.example" for n in range(2, 7))])

    def test_r14_a_request_ends_with_one_count_that_adds_up(self, world: World) -> None:
        world.has_learners(*SEVEN)
        world.has_course("safety")
        world.asks_to_enrol("safety", "L0", "L1")
        world.settle()
        world.becomes("inactive", "L2", "L3")
        world.withdraws("safety", "L4", at=world.clock + HOUR)

        world.asks_to_enrol("safety", *SEVEN, "nobody", request="r")
        world.settle()

        assert world.out("enrolment.finished")[1:] == [
            {
                "request": "r",
                "course": "safety",
                "selected": 8,
                "enrolled": 2,
                "silent": 2,
                "already": 2,
                "not_eligible": {"unknown": 1, "withdrawn": 1},
            }
        ]
        assert world.mail.recipients == [f"l{n}@acme.example" for n in (0, 1, 5, 6)]

    def test_r09_a_segment_of_many_is_followed_in_and_out(self, world: World) -> None:
        world.has_learners(*SEVEN)
        world.has_segment("s")
        world.has_course("safety", "segments", segments=["s"])

        world.say("segment.joined", segment="s", learners=SEVEN)
        world.settle()
        assert enrolled(world) == set(SEVEN)
        assert world.mail.recipients == [f"l{n}@acme.example" for n in range(7)]

        world.say("segment.left", segment="s", learners=SEVEN[:5])
        world.settle()
        assert enrolled(world) == {"L5", "L6"}

    def test_r27_a_start_waits_for_the_chunk_that_enrols_its_learner(self, world: World) -> None:
        world.has_learners(*SEVEN, at=DAWN)
        world.has_course("safety", "everyone", cost=2, at=DAWN)
        start = world.starts("L5", "safety", at=DAWN + HOUR)
        assert world.quarantine()[id_of(start)].state == "waiting"
        _survey(world)
        [(organisation, number)] = world.rows("SELECT organisation, work FROM work WHERE low = 4")

        work_on(world.runtime, "enrolments.chunk", organisation, number)
        assert world.rows("SELECT actor, subject FROM work WHERE actor LIKE 'events%'") == [("events.retake", 0)]
        world.settle()

        assert world.quarantine() == {}
        assert [entry.amount for entry in world.ledger()] == [2]


def test_r07_a_new_title_does_not_make_the_rule_younger(world: World) -> None:
    world.has_course("safety", "everyone")
    ruled = world.clock
    world.has_course("safety", "everyone", title="Safety, new edition", at=ruled + timedelta(days=3))

    world.say("learner.saved", at=ruled + timedelta(hours=2), **world.learner("A"))

    assert world.enrolments("A")["safety"].enrolled_at == ruled + timedelta(hours=2)
