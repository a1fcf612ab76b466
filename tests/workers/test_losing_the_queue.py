"""Losing Redis or a process costs time, never work: R19, R32, R33, with the processes that run in production."""

import threading
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from tests.workers.deployment import Deployment, Valkey, ids, until
from tests.world import World

LEARNERS = 1000
ACTIVE = 300
INACTIVE = LEARNERS - ACTIVE

#: Mails in one group, the most that may be uncertain for each worker that is lost.
GROUP = 10

#: Longer than any test holds an answer back: of one that failed before it let go, no other is to get none.
HELD_SECONDS = 120


class Held:
    """The mail server takes `free` mails, then keeps every answer back until told otherwise."""

    def __init__(self, world: World, free: int) -> None:
        self._mail = world.mail
        self._free = free
        self._open = threading.Event()
        world.mail.before_answer = self._answer

    def _answer(self, _address: str) -> None:
        if len(self._mail.taken) > self._free:
            self._open.wait(HELD_SECONDS)

    def reached(self) -> None:
        """Wait until the server has taken a mail that it does not answer."""
        until(lambda: len(self._mail.taken) > self._free, f"{self._free} mails")

    def let_go(self) -> None:
        """Answer again."""
        self._open.set()


def populate(world: World) -> list[str]:
    """A thousand learners, spread over the chunks; the active ones."""
    statuses = {f"L{n}": "active" if n * ACTIVE % LEARNERS < ACTIVE else "inactive" for n in range(LEARNERS)}
    world.send(*(world.event("learner.saved", world.learner(name, status=it)) for name, it in statuses.items()))
    return [name for name, status in statuses.items() if status == "active"]


def everyone_course(world: World) -> bytes:
    """A course for everyone: a fan-out and a notice to each active learner."""
    return world.event(
        "course.saved",
        {"course": "safety", "title": "Safety", "cost": 1, "on_hold": False, "method": "everyone", "segments": []},
    )


def announcement(world: World) -> bytes:
    """An announcement to everyone."""
    return world.event(
        "announcement.requested",
        {"announcement": "news", "subject": "News", "body": "Hello {{ first_name }}.", "audience": {"everyone": True}},
    )


def mails(world: World) -> Counter[tuple[str, str]]:
    """How many mails of which kind each address got."""
    return Counter((address, str(message["Feedback-ID"]).split(":")[2]) for address, message in world.mail.taken)


def addresses(learners: list[str]) -> set[str]:
    return {f"{learner.lower()}@acme.example" for learner in learners}


def told_everything(deployment: Deployment, world: World) -> None:
    """Every event of the outbox is on the stream, in order, once."""
    stream = deployment.stream()
    written = [str(id_) for id_ in world.list("SELECT id FROM outbox ORDER BY position")]
    assert ids(stream) == written
    assert [entry for entry, _ in stream] == [f"{n}-0" for n in range(1, len(written) + 1)]


@pytest.mark.slow
def test_r33_losing_redis_twice_costs_time_but_no_work_and_sends_nothing_twice(
    platform: World, deployment: Deployment, valkey: Valkey
) -> None:
    active = populate(platform)
    held = Held(platform, free=100)
    deployment.start("ingress", "relay", "tasks", "mail", "bulk")
    deployment.publish(everyone_course(platform))
    until(lambda: platform.ask("SELECT count(*) FROM enrolments") > 0, "the first chunk")
    valkey.forget()
    done = platform.ask("SELECT count(*) FROM enrolments")
    assert 0 < done < LEARNERS, "Redis was to be lost half way"

    deployment.publish(announcement(platform))
    held.reached()
    until(lambda: platform.ask("SELECT count(*) FROM mailings WHERE kind = 'announcement'") == 1, "the launch")
    valkey.restart()
    held.let_go()
    deployment.rests()

    got = mails(platform)
    assert set(got.values()) == {1}, "nobody gets a second mail"
    assert {address for address, kind in got if kind == "enrolment"} == addresses(active)
    assert {address for address, kind in got if kind == "announcement"} == addresses(active)
    assert platform.ask("SELECT count(*) FROM enrolments WHERE silent") == INACTIVE
    assert platform.ask("SELECT count(*) FROM enrolments") == LEARNERS
    counts = platform.progress("news")
    assert (counts.state, counts.selected, counts.accepted) == ("finished", LEARNERS, len(active))
    assert counts.skipped == {"inactive": INACTIVE}
    told_everything(deployment, platform)


@pytest.mark.slow
def test_r19_a_killed_mail_worker_leaves_at_most_a_group_uncertain_and_resends_only_notices(
    platform: World, deployment: Deployment
) -> None:
    active = populate(platform)
    deployment.start("ingress", "relay", "tasks", "bulk")
    held = Held(platform, free=100)
    deployment.publish(announcement(platform))
    held.reached()
    deployment.kill("bulk")
    held.let_go()
    deployment.start("bulk", "mail")
    until(lambda: platform.progress("news").pending == 0, "the end of the announcement")
    held = Held(platform, free=len(platform.mail.taken) + 100)
    deployment.publish(everyone_course(platform))
    held.reached()
    deployment.kill("mail")
    held.let_go()
    deployment.start("mail")
    deployment.rests()

    got = mails(platform)
    announced = {address: n for (address, kind), n in got.items() if kind == "announcement"}
    counts = platform.progress("news")
    assert set(announced.values()) == {1}, "nobody gets an announcement twice"
    assert 0 < counts.uncertain <= GROUP
    assert counts.selected == LEARNERS == counts.accepted + counts.uncertain + INACTIVE
    assert counts.skipped == {"inactive": INACTIVE}
    assert platform.out("announcement.finished")[0]["uncertain"] == counts.uncertain

    noticed = {address: n for (address, kind), n in got.items() if kind == "enrolment"}
    assert set(noticed) == addresses(active), "every notice arrives"
    twice = [address for address, n in noticed.items() if n > 1]
    assert 0 < len(twice) <= GROUP
    for address in twice:
        copies = [message for message in platform.mail.to(address) if ":enrolment:" in message["Feedback-ID"]]
        assert len(copies) == 2
        assert copies[0]["Message-ID"] == copies[1]["Message-ID"]
    told_everything(deployment, platform)


def test_r32_r33_a_killed_ingress_and_a_killed_relay_lose_nothing_and_publish_nothing_twice(
    platform: World, deployment: Deployment
) -> None:
    active = populate(platform)
    leavers = active
    deployment.start("ingress", "relay")
    deployment.publish(
        *(platform.event("learner.status_changed", {"learner": name, "status": "inactive"}) for name in leavers)
    )
    known = int(platform.ask("SELECT count(*) FROM arrivals"))

    def taken() -> int:
        return int(platform.ask("SELECT count(*) FROM arrivals")) - known

    for victims, share in ((("ingress",), 60), (("relay",), 120), (("ingress", "relay"), 180)):
        until(partial(_reached, taken, share), f"{share} events taken")
        for victim in victims:
            deployment.kill(victim)
        assert taken() < len(leavers), "it was to be killed half way"
        deployment.start(*victims)
    deployment.rests()

    assert taken() == len(leavers)
    suspended = [data["learner"] for data in platform.out("access.suspended")]
    assert sorted(suspended) == sorted(leavers)
    told_everything(deployment, platform)


def _reached(count: Callable[[], int], least: int) -> bool:
    return count() >= least
