"""Whether a mail went is not always known: R18, R19, S10; and a server that is away: R21."""

from dataclasses import replace
from datetime import timedelta

import pytest

from config.database import transaction
from config.runtime import Runtime
from tasks.work.store import claim, offer
from tests import mailserver
from tests.mail.background import Background
from tests.world import World, work_on


def test_r19_hung_up_on_after_the_message_an_announcement_stays_uncertain(world: World) -> None:
    world.has_learners("A", "B")
    world.mail.hangs_up = lambda address: address.startswith("b@")
    world.announces()

    world.comes_to_rest()

    assert world.mail.recipients == ["a@acme.example", "b@acme.example"], "one copy each"
    counts = world.progress("news")
    assert (counts.state, counts.selected, counts.accepted, counts.uncertain) == ("finished", 2, 1, 1)
    assert world.out("announcement.finished")[0]["uncertain"] == 1


def test_r19_hung_up_on_after_the_message_a_notice_is_sent_again_under_its_message_id(world: World) -> None:
    world.has_learners("A")
    world.mail.hangs_up = lambda address: len(world.mail.to(address)) == 1
    world.has_course("safety", "everyone")

    world.comes_to_rest()

    first, second = world.mail.to("a@acme.example")
    assert first["Message-ID"] == second["Message-ID"]
    assert world.rows("SELECT state::text, attempts FROM deliveries") == [("accepted", 2)]
    assert world.list("SELECT reason FROM attempts") == ["ambiguous"]


def test_r19_a_server_that_always_hangs_up_does_not_get_it_for_ever(world: World) -> None:
    world.has_learners("A")
    world.mail.hangs_up = lambda _address: True
    world.announces("again")
    world.execute("UPDATE mailings SET policy = 'resend'")

    world.comes_to_rest()

    most = world.runtime.settings.rollcall_mail_attempts
    assert len(world.mail.to("a@acme.example")) == most
    assert len({message["Message-ID"] for message in world.mail.to("a@acme.example")}) == 1
    assert world.progress("again").uncertain == 1


def test_r19_a_ledger_that_cannot_be_written_leaves_uncertain_what_was_sent(world: World) -> None:
    world.has_learners("A", "B")
    world.announces()
    world.mail.before_answer = lambda address: (
        world.execute("ALTER TABLE deliveries RENAME TO away") if address.startswith("a@") else None
    )
    world.settle()
    world.mail.before_answer = lambda _address: None
    world.execute("ALTER TABLE away RENAME TO deliveries")

    world.comes_to_rest()

    assert world.mail.recipients == ["a@acme.example", "b@acme.example"], "nobody gets it twice"
    counts = world.progress("news")
    assert (counts.selected, counts.uncertain, counts.pending) == (2, 2, 0)
    assert world.list("SELECT DISTINCT reason FROM deliveries") == ["worker lost"]


def test_r19_a_lost_lease_writes_nothing(world: World) -> None:
    world.has_learners("A")
    world.announces()
    with Background(world) as worker:
        worker.until_asked()
        world.execute("UPDATE work SET due_at = now()")
        (number,) = world.list("SELECT work FROM work")
        with transaction(world.runtime.engine, 1) as connection:
            taken = claim(connection, 1, number, timedelta(minutes=1))
        assert taken is not None
        worker.let_go()
    assert world.rows("SELECT state::text, attempts FROM deliveries") == [("pending", 0)]
    assert world.rows("SELECT state, fence FROM work") == [("running", taken.fence)]

    world.execute("UPDATE work SET due_at = now()")
    world.comes_to_rest()

    assert world.progress("news").uncertain == 1
    assert len(world.mail.taken) == 1


def test_r21_while_nobody_answers_nothing_is_lost_and_no_attempt_used(world: World, runtime: Runtime) -> None:
    port = mailserver.free_port()
    # A sender of its own: connections that an earlier test left open count for the pace of theirs.
    endpoints = replace(
        runtime.endpoints, smtp_url=f"smtp://127.0.0.1:{port}?tls=none", mail_from="Away <away@rollcall.example>"
    )
    there = World(replace(runtime, endpoints=endpoints), world.redis, world.mail)
    world.has_learners("A", "B")
    world.announces()
    there.settle()
    assert world.rows("SELECT DISTINCT state::text, attempts FROM deliveries") == [("pending", 0)]
    assert world.list("SELECT DISTINCT reason FROM attempts") == ["unreachable"]

    server, controller = mailserver.start(port)
    try:
        there.comes_to_rest()
    finally:
        controller.stop()

    assert server.recipients == ["a@acme.example", "b@acme.example"]
    assert world.rows("SELECT state::text, attempts FROM deliveries") == [("accepted", 1)] * 2


def test_r31_a_slow_mailing_gives_back_what_it_does_not_finish_within_its_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.mail.delivery.TURN_SECONDS", 0.0)
    monkeypatch.setattr("tasks.mail.delivery.GATE_HOLDS_SECONDS", 60.0)  # however slow this machine is
    groups = world.runtime.settings.model_copy(update={"rollcall_mail_group": 20})
    world.has_learners(*(f"L{n}" for n in range(60)))
    world.announces()
    with transaction(world.runtime.engine) as connection:
        (offered,) = offer(connection, "bulk", bound=8, repeat=timedelta(minutes=1))
    work_on(replace(world.runtime, settings=groups), offered.actor, offered.organisation, offered.work)

    assert len(world.mail.taken) == 20
    assert world.rows("SELECT state, begun, failures FROM work") == [("due", None, 0)]
    world.comes_to_rest()
    assert len(set(world.mail.recipients)) == len(world.mail.recipients) == 60


def test_r31_after_a_worker_was_lost_each_mail_is_tried_with_none_beside_it(world: World) -> None:
    world.has_learners("A", "B", "C")
    world.announces()
    world.execute("UPDATE work SET begun = 1")
    begun: list[int] = []

    def seen(_address: str, _times: int) -> None:
        begun.append(world.ask("SELECT begun FROM work"))

    world.mail.on_recipient = seen
    world.comes_to_rest()

    assert world.rows("SELECT recipient, state::text FROM deliveries ORDER BY 1") == [
        (1, "uncertain"), (2, "accepted"), (3, "accepted"),
    ]  # fmt: skip
    assert begun == [2, 3], "each was begun by itself"
