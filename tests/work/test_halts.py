"""Work that is not begun, because somebody or its fuse says so; and nobody else's waits for it (R31)."""

import json

import pytest

from config.database import execute, transaction, value
from tasks import work
from tasks.system import in_database
from tasks.work import REGISTRY, loads, offer, unfinished
from tests.commands.console import Rollcall, printed, refused, rollcall
from tests.world import World, work_on
from workers import pool
from workers.pool import Leases
from workers.web.metrics import Numbers

__all__ = ["refused", "rollcall"]  # fixtures


def metrics(world: World) -> dict[tuple[str, str], float]:
    """What /metrics says of halts, by name and kind."""
    found = Numbers(in_database(world.runtime), None, []).collect()
    samples = (sample for metric in found for sample in metric.samples)
    return {
        (one.name, one.labels.get("kind", "")): one.value
        for one in samples
        if "fuse" in one.name or "halts" in one.name
    }


def announced(world: World) -> list[str]:
    return sorted(address for address in world.mail.recipients)


def test_a_kind_of_work_that_is_paused_waits_and_goes_on_when_it_is_resumed(world: World, rollcall: Rollcall) -> None:
    world.has_learners("A")
    paused = printed(
        "work-pause", rollcall("work", "pause", "mail.deliver", "--why", "looking", "--by", "Kim", "--json")
    )
    again = printed("work-pause", rollcall("work", "pause", "mail.deliver", "--why", "looking", "--json"))
    world.announces("news")
    world.settle()
    state = printed("status", rollcall("status", "--json"))

    assert (paused["changed"], again["changed"]) == (True, False)
    assert announced(world) == []
    assert [(one["kind"], one["organisation"], one["by"]) for one in state["halts"]] == [("mail.deliver", None, "Kim")]
    assert "Work of the kind mail.deliver is paused since" in rollcall("status").stdout
    assert [load["stalled"] for load in state["queues"]] == [False] * len(state["queues"])
    assert state["at_rest"] is False, "the mailing is being sent"
    assert metrics(world)["rollcall_work_halts", ""] == 1
    assert metrics(world)["rollcall_fuse_open", "mail.deliver"] == 0

    resumed = printed("work-resume", rollcall("work", "resume", "mail.deliver", "--json"))
    world.settle()
    assert resumed["changed"]
    assert announced(world) == ["a@acme.example"]
    audit = world.rows("SELECT act, subject, who FROM audit WHERE act LIKE 'work.%' ORDER BY at LIMIT 1")
    assert audit == [("work.pause", "mail.deliver", "Kim")]


def test_r31_the_work_of_an_organisation_that_is_paused_waits_and_that_of_others_does_not(
    world: World, rollcall: Rollcall
) -> None:
    other = "borealis"
    world.send(
        world.event("organisation.saved", {"name": "B", "licence": "seats", "admin_emails": []}, organisation=other)
    )
    world.send(world.event("learner.saved", world.learner("Z", email="z@borealis.example"), organisation=other))
    world.has_learners("A")
    rollcall("work", "pause", "-o", "acme", "--why", "they asked")
    said = {"subject": "Hi", "body": "Hi", "audience": {"everyone": True}}
    world.announces("news")
    world.send(world.event("announcement.requested", {"announcement": "news", **said}, organisation=other))
    world.settle()

    assert announced(world) == ["z@borealis.example"]
    with transaction(world.runtime.engine) as connection:
        assert offer(connection, "tasks", "mail", "bulk", bound=8, repeat=world.runtime.lease) == []
    rollcall("work", "resume", "-o", "acme")
    world.settle()
    assert announced(world) == ["a@acme.example", "z@borealis.example"]


def test_what_is_offered_and_halted_takes_no_place_of_what_is_not(world: World) -> None:
    with transaction(world.runtime.engine, 1) as connection:
        work.add(connection, 1, "bulk", "mail.deliver", 1, [(n, n) for n in range(1, 9)])
    with transaction(world.runtime.engine) as connection:
        assert len(offer(connection, "bulk", bound=8, repeat=world.runtime.lease)) == 8
        work.halt(connection, work.EVERYBODY, "mail.deliver", by="Kim", why="so")
    with transaction(world.runtime.engine, 1) as connection:
        work.add(connection, 1, "bulk", "announcements.cancel", 1)
    with transaction(world.runtime.engine) as connection:
        assert [one.actor for one in offer(connection, "bulk", bound=8, repeat=world.runtime.lease)] == [
            "announcements.cancel"
        ]


def failing(world: World, monkeypatch: pytest.MonkeyPatch, organisations: list[int], times: int) -> Leases:
    """A pool in whose hands every chunk of these organisations fails, so many times."""
    leases = Leases(world.runtime)
    monkeypatch.setattr("tests.world.Leases", lambda _: leases)
    monkeypatch.setattr(REGISTRY.actors["enrolments.chunk"], "fn", broken)
    for n in range(times):
        whose = organisations[n % len(organisations)]
        with transaction(world.runtime.engine, whose) as connection:
            work.add(connection, whose, "tasks", "enrolments.chunk", n)
        number = world.ask("SELECT max(work) FROM work")
        work_on(world.runtime, "enrolments.chunk", whose, number)
    return leases


def broken(*_: object) -> None:
    """An actor with a bug in it."""
    raise ZeroDivisionError


def test_a_fuse_opens_by_itself_and_is_closed_by_hand(
    world: World, rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b", "c"):
        world.send(world.event("organisation.saved", {"name": name, "licence": "seats"}, organisation=name))
    failing(world, monkeypatch, [1, 2, 3], times=10)

    (fuse,) = printed("status", rollcall("status", "--json"))["halts"]
    assert (fuse["kind"], fuse["organisation"], fuse["is_fuse"]) == ("enrolments.chunk", None, True)
    assert fuse["why"] == "10 tries in a row failed, the last with ZeroDivisionError"
    assert "is stopped by its fuse since" in rollcall("status").stdout
    assert "Do this: rollcall work resume enrolments.chunk." in rollcall("status").stdout
    assert metrics(world)["rollcall_fuse_open", "enrolments.chunk"] == 1
    assert world.ask("SELECT count(*) FROM work WHERE state = 'due'") == 10

    number = world.ask("SELECT min(work) FROM work")
    world.execute("UPDATE work SET due_at = now()")
    work_on(world.runtime, "enrolments.chunk", 1, number)
    assert world.ask("SELECT failures FROM work WHERE work = :number", number=number) == 1, "nobody begins it"

    rollcall("work", "resume", "enrolments.chunk", "--by", "Kim")
    assert printed("status", rollcall("status", "--json"))["halts"] == []
    assert world.ask("SELECT count(*) FROM audit WHERE act = 'work.resume' AND who = 'Kim'") == 1


def test_r31_what_fails_for_one_organisation_alone_stops_it_for_that_one(
    world: World, rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(world, monkeypatch, [1], times=10)

    (fuse,) = json.loads(rollcall("status", "--json").stdout)["halts"]
    assert (fuse["kind"], fuse["organisation"], fuse["is_fuse"]) == ("enrolments.chunk", "acme", True)
    assert "rollcall work resume enrolments.chunk -o acme." in rollcall("status").stdout


def test_what_cannot_be_meant_is_refused(world: World, rollcall: Rollcall) -> None:
    for words, says in (
        (("pause", "--why", "so"), "Name a kind of work"),
        (("pause", "anything", "--why", "so"), "There is no kind of work 'anything'"),
        (("resume", "-o", "nobody"), "There is no organisation 'nobody'"),
    ):
        assert says in str(rollcall("work", *words).exception)


def test_the_kinds_are_the_actors() -> None:
    assert {*work.KINDS} == {actor.actor_name for actor in pool.ACTORS}


def test_what_is_halted_is_asked_once_for_a_kind_however_much_is_due(world: World) -> None:
    world.execute(
        "INSERT INTO work (organisation, queue, actor, subject)"
        " SELECT 1, 'bulk', 'mail.deliver', n FROM generate_series(1, 500) n"
    )

    with transaction(world.runtime.engine) as connection:
        execute(connection, "SET LOCAL track_functions = 'all'")
        [load] = loads(connection)
        assert (load.due, unfinished(connection)) == (500, 500)
        asked = value(connection, "SELECT calls FROM pg_stat_xact_user_functions WHERE funcname = 'halted'")

    assert asked == 2
