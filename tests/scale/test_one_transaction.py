"""What one transaction of the ingress writes is bounded, and the rest is work (R31): with the order of effects and the
rules as they were (R4, R6, R7, R10, R12, R14)."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from config.database import lock_organisations
from config.settings import Settings
from tasks.announcements import check_message
from tasks.events.rules import portions
from tasks.events.schemas import Event, decode
from tests.world import DAWN, World, id_of

#: Rows that a transaction may write here, and courses for everyone.
CHUNK, COURSES = 50, 20

IDS = [f"L{n}" for n in range(30)]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A chunk that is small."""
    return settings.model_copy(update={"rollcall_chunk": CHUNK})


def has_courses(world: World, method: str = "everyone", segments: Sequence[str] = ()) -> set[str]:
    """So many courses; their ids."""
    ids = {f"c{n}" for n in range(COURSES)}
    for id_ in sorted(ids):
        world.has_course(id_, method, segments=list(segments))
    return ids


def enrolled(world: World) -> int:
    """How many enrolments stand."""
    return int(world.ask("SELECT count(*) FROM enrolments WHERE withdrawn_at IS NULL"))


def largest(world: World) -> int:
    """The most enrolments that one transaction wrote."""
    return int(world.ask("SELECT max(n) FROM (SELECT count(*) AS n FROM enrolments GROUP BY CAST(xmin AS text)) t"))


def test_r07_learners_times_courses_are_left_to_the_workers_and_told_in_one_mail_each(world: World) -> None:
    courses = has_courses(world)

    world.has_learners(*IDS)
    assert enrolled(world) <= CHUNK
    assert world.ask("SELECT count(*) FROM learners WHERE standing = 'active'") == len(IDS)

    world.settle()
    assert enrolled(world) == COURSES * len(IDS)
    assert largest(world) <= CHUNK
    assert Counter(world.mail.recipients) == {f"{id_.lower()}@acme.example": 1 for id_ in IDS}
    said = str(world.mail.to("l0@acme.example")[0].get_body(("plain",)))
    assert [id_ for id_ in courses if f"Course {id_}" not in said] == []
    assert world.off() == {}


def test_r07_who_is_inactive_before_the_workers_come_is_enrolled_silently(world: World) -> None:
    has_courses(world)
    world.has_learners(*IDS)
    world.becomes("inactive", *IDS[:15])
    world.withdraws("c1", *IDS)
    start = world.starts(IDS[20], "c2")
    assert world.quarantine()[id_of(start)].reason == "not enrolled"

    world.settle()

    assert world.quarantine() == {}
    assert all(one.silent for id_ in IDS[:15] for one in world.enrolments(id_).values())
    assert world.access(IDS[0]) == set()
    assert "c1" not in world.access(IDS[20])
    assert sorted(set(world.mail.recipients)) == sorted(f"{id_.lower()}@acme.example" for id_ in IDS[15:])
    assert world.off() == {}


@pytest.mark.slow
def test_r12_events_of_one_batch_add_up(world: World) -> None:
    world.has_learners(*IDS)
    has_courses(world)
    world.mail.taken.clear()
    described = [{"course": f"d{n}", "title": f"Course d{n}", "method": "everyone"} for n in range(COURSES)]

    world.send(*(world.event("course.saved", one) for one in described))
    assert largest(world) <= CHUNK

    world.settle()
    assert enrolled(world) == 2 * COURSES * len(IDS)
    assert largest(world) <= CHUNK


@pytest.mark.slow
def test_r10_a_membership_that_counts_for_many_courses_is_left_to_the_workers(world: World) -> None:
    world.has_learners(*IDS)
    world.has_segment("nurses")
    courses = has_courses(world, "segments", segments=["nurses"])

    world.say("segment.joined", segment="nurses", learners=IDS)
    assert enrolled(world) <= CHUNK
    world.say("segment.left", segment="nurses", learners=IDS[:10])
    world.settle()

    assert world.access(IDS[0]) == set()
    assert world.access(IDS[-1]) == courses
    assert largest(world) <= CHUNK
    assert Counter(world.mail.recipients) == {f"{id_.lower()}@acme.example": 1 for id_ in IDS[10:]}
    assert world.off() == {}


def test_r04_access_is_there_at_once_and_the_platform_is_told_by_the_workers(world: World) -> None:
    world.has_organisation(reactivation_digest=True)
    world.has_learners(*IDS, status="inactive")
    courses = has_courses(world)
    world.settle()

    world.becomes("active", *IDS)
    assert world.access(IDS[0]) == world.access(IDS[-1]) == courses
    assert world.ask("SELECT count(*) FROM enrolments WHERE activated_at IS NOT NULL") <= CHUNK
    world.becomes("inactive", IDS[-1])
    world.settle()

    assert [told["learner"] for told in world.out("access.activated")] == IDS[:-1]
    assert all(told["courses"] == sorted(courses) for told in world.out("access.activated"))
    assert Counter(world.mail.recipients) == {f"{id_.lower()}@acme.example": 1 for id_ in IDS[:-1]}
    assert largest(world) <= CHUNK


def test_r14_a_request_that_does_not_fit_adds_up(world: World) -> None:
    many = [f"M{n}" for n in range(2 * CHUNK)]
    world.has_learners(*many[10:])
    world.has_course("safety")

    world.asks_to_enrol("safety", *many)
    assert enrolled(world) == 0
    world.settle()

    (told,) = world.out("enrolment.finished")
    assert (told["selected"], told["enrolled"], told["not_eligible"]) == (2 * CHUNK, 2 * CHUNK - 10, {"unknown": 10})
    assert largest(world) <= CHUNK


@pytest.mark.parametrize("awaited", ["organisation", "learner", "course", "enrolment"])
def test_r06_what_waited_for_one_event_is_taken_in_parts(
    world: World, awaited: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.intake.waiting.MOST_FREED", 7)
    known: dict[str, Callable[[], object]] = {
        "organisation": world.has_organisation,
        "learner": lambda: world.has_learners(*IDS, at=DAWN),
        "course": lambda: world.has_course("safety", at=DAWN),
        "enrolment": lambda: world.asks_to_enrol("safety", *IDS, at=DAWN),
    }
    order = [awaited] if awaited == "enrolment" else [awaited, "enrolment"]
    if awaited == "organisation":
        world.organisation = "new"
        order[1:1] = ["course", "learner"]
    for one in known.keys() - {"organisation"} - set(order):
        known[one]()
    starts = [world.event("course.started", {"learner": id_, "course": "safety"}) for id_ in IDS]
    world.send(*starts)
    assert {entry.state for entry in world.quarantine().values()} == {"waiting"}

    for one in order:
        known[one]()
    assert len(world.quarantine()) >= len(IDS) - 3 * 7, "the rest is work"
    world.settle()

    assert world.quarantine() == {}
    assert len(world.ledger()) == len(IDS)


def test_r31_who_would_have_to_be_waited_for_comes_last_and_waits_for_its_turn(world: World) -> None:
    world.send(world.event("organisation.saved", {"name": "Other", "licence": "seats"}, organisation="other"))
    with world.about() as (connection, org):
        lock_organisations(connection, [org.organisation])
        world.send(
            world.event("learner.saved", world.learner("A")),
            world.event("learner.saved", world.learner("B"), organisation="other"),
        )
        assert world.list("SELECT id FROM learners") == ["B"]
        behind = world.event("learner.saved", world.learner("C"))
        world.send(behind, world.event("learner.saved", world.learner("D"), organisation="other"))
        assert world.list("SELECT id FROM learners ORDER BY id") == ["B", "D"]
        assert {entry.reason for entry in world.quarantine().values()} == {"its turn"}

    world.settle()
    assert world.list("SELECT id FROM learners ORDER BY id") == ["A", "B", "C", "D"]
    assert world.quarantine() == {}


def test_r31_who_is_being_changed_for_a_moment_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.intake.batch.PATIENCE_SECONDS", 60)
    with world.about() as (connection, org):
        lock_organisations(connection, [org.organisation])
        taking = threading.Thread(target=world.send, args=[world.event("learner.saved", world.learner("A"))])
        taking.start()
        while not world.waiting():
            assert taking.is_alive()
    taking.join()
    assert world.list("SELECT id FROM learners") == ["A"]
    assert world.quarantine() == {}


def listing(world: World, organisation: str, id_: str, listed: int) -> Event:
    """An event that lists so many."""
    data = {"segment": "s", "learners": [f"L{n}" for n in range(listed)]}
    return understood(world, "segment.joined", data, organisation, id_)


def understood(world: World, type_: str, data: dict[str, Any], organisation: str, id_: str | None = None) -> Event:
    """An event, read."""
    body = world.event(type_, data, id_=id_, organisation=organisation)
    event = decode(body, now=world.clock, skew=world.clock - DAWN)
    assert isinstance(event, Event)
    return event


def test_r31_small_organisations_are_taken_together_before_a_large_one(world: World) -> None:
    batch = [
        listing(world, "large", "1", 60),
        listing(world, "small", "2", 5),
        listing(world, "large", "3", 60),
        listing(world, "large", "3", 1),
        listing(world, "tiny", "5", 1),
        listing(world, "large", "6", 20),
    ]

    taken = [[(event.organisation, event.id) for event in part] for part in portions(batch, 400)]

    assert taken == [
        [("tiny", "5"), ("small", "2")],
        [("large", "1"), ("large", "3")],
        [("large", "6")],
    ]


def test_r31_what_cannot_be_applied_together_weighs_more_than_its_rows(world: World) -> None:
    """The neighbour has more events, and is not kept waiting by them: theirs are one step, the others many."""
    batch = [
        understood(world, "learner.status_changed", {"learner": "L", "status": status}, "toggling")
        for status in ["active", "inactive"] * 20
    ]
    batch += [understood(world, "learner.saved", world.learner(f"N{n}"), "neighbour") for n in range(60)]

    taken = [({event.organisation for event in part}, len(part)) for part in portions(batch, 1000)]

    assert taken[0] == ({"neighbour"}, 60)
    assert max(n for _, n in taken[1:]) <= 1 + 10
    assert sum(n for _, n in taken[1:]) == 40


def test_r31_long_messages_come_after_everybody_else_and_few_at_a_time(world: World) -> None:
    said = {"subject": "News", "body": "word " * 4000, "audience": {"everyone": True}}
    batch = [understood(world, "announcement.requested", {"announcement": f"a{n}", **said}, "loud") for n in range(20)]
    batch += [understood(world, "learner.saved", world.learner(f"N{n}"), "neighbour") for n in range(200)]

    taken = [({event.organisation for event in part}, len(part)) for part in portions(batch, 1000)]

    assert taken[0] == ({"neighbour"}, 200)
    assert [n for _, n in taken[1:]] == [1] * 20


def test_r31_no_lock_is_held_while_a_message_is_judged_and_the_neighbour_is_done(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.send(world.event("organisation.saved", {"name": "Other", "licence": "seats"}, organisation="other"))
    seen = []

    def watched(subject: str, body: str, organisation: str) -> None:
        locks = world.ask(
            "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
            " WHERE locktype = 'advisory' AND datname = current_database()"
        )
        seen.append((locks, world.list("SELECT id FROM learners")))
        check_message(subject, body, organisation)

    monkeypatch.setattr("tasks.announcements.intake._verdicts", OrderedDict())  # as in a process that has just begun
    monkeypatch.setattr("tasks.announcements.intake.check_message", watched)
    said = {"subject": "News of today", "audience": {"everyone": True}}
    world.send(
        world.event("announcement.requested", {"announcement": "good", "body": "Hello. " * 1000, **said}),
        world.event("announcement.requested", {"announcement": "bad", "body": "Hello {{nobody}}. " * 1000, **said}),
        world.event("learner.saved", world.learner("B"), organisation="other"),
    )

    assert seen == [(0, ["B"])] * 2
    assert world.progress("good").state
    assert [entry.reason for entry in world.quarantine().values()] == ["bad template"]


def test_r31_messages_that_waited_are_judged_by_the_workers_while_no_lock_is_held(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"subject": "News that waited", "body": "Hello. " * 1000, "audience": {"segments": ["s"]}}
    world.send(*(world.event("announcement.requested", {"announcement": f"a{n}", **said}) for n in range(5)))
    assert len(world.quarantine()) == 5
    seen = []

    def watched(subject: str, body: str, organisation: str) -> None:
        seen.append(
            world.ask(
                "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
                " WHERE locktype = 'advisory' AND datname = current_database()"
            )
        )
        check_message(subject, body, organisation)

    monkeypatch.setattr("tasks.events.inbox.FREED_OCTETS", 8_000)
    world.has_segment("s")
    assert len(world.quarantine()) == 3, "the rest is work"

    monkeypatch.setattr("tasks.announcements.intake._verdicts", OrderedDict())  # as in a process that has just begun
    monkeypatch.setattr("tasks.announcements.intake.check_message", watched)
    world.settle()

    assert world.quarantine() == {}
    assert set(seen) == {0}
    assert world.ask("SELECT count(*) FROM mailings WHERE kind = 'announcement'") == 5


def test_r31_a_message_that_nobody_here_has_judged_is_not_judged_where_it_is_freed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"subject": "News that waited", "body": "Hello.", "audience": {"segments": ["s"]}}
    world.send(world.event("announcement.requested", {"announcement": "news", **said}))
    monkeypatch.setattr("tasks.announcements.intake._verdicts", OrderedDict())  # as in a process that has just begun

    world.has_segment("s")
    assert [entry.reason for entry in world.quarantine().values()] == ["unknown segment"]

    world.settle()
    assert world.quarantine() == {}
    assert world.ask("SELECT count(*) FROM mailings WHERE kind = 'announcement'") == 1
