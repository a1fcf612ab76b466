"""What goes wrong beside the mail server, and what it must not do to anybody's mail: R18, R19, R21."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from config.database import transaction
from config.settings import Settings
from tasks.mail import delivery
from tasks.mail.composing.envelopes import Identity, compose
from tasks.mail.ledger import Mailing, Recipient, deliveries
from tasks.mail.sending.pool import Envelope
from tests.world import World

#: Seconds for which the database is away: longer than any other transaction is tried.
AWAY = 1.5


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["hold", "resend"])
def test_r19_what_the_server_took_is_recorded_though_the_database_is_away_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    world.has_learners("A", "B", "C")
    world.announces()
    world.execute("UPDATE mailings SET policy = :policy", policy=policy)
    gone: list[float] = []

    @contextmanager
    def flickering(engine: Engine, organisation: int | None = None, *, pipelined: bool = False) -> Iterator[Connection]:
        if world.mail.taken and not gone:
            gone.append(time.monotonic())
        if gone and time.monotonic() < gone[0] + AWAY:
            raise OperationalError("", {}, psycopg.OperationalError("the server is restarting"))
        with transaction(engine, organisation, pipelined=pipelined) as connection:
            yield connection

    monkeypatch.setattr(delivery, "transaction", flickering)

    world.comes_to_rest()

    assert gone
    assert world.mail.recipients == ["a@acme.example", "b@acme.example", "c@acme.example"], "nobody gets two"
    counts = world.progress("news")
    assert (counts.state, counts.accepted, counts.uncertain) == ("finished", 3, 0)


def test_r18_a_message_that_cannot_be_made_holds_up_nobody_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.has_learners("A", "B", "C")
    world.announces()

    def broken(mailing: Mailing, recipient: Recipient, identity: Identity) -> Envelope:
        if recipient.id == "B":
            raise KeyError("a bug")
        return compose(mailing, recipient, identity)

    monkeypatch.setattr(delivery, "compose", broken)

    world.comes_to_rest()

    assert world.mail.recipients == ["a@acme.example", "c@acme.example"]
    counts = world.progress("news")
    assert (counts.state, counts.accepted, counts.failed, counts.uncertain) == ("finished with failures", 2, 1, 0)


def test_r19_what_was_put_off_is_not_what_a_lost_worker_had_begun(world: World) -> None:
    world.has_learners("A", "B")
    world.announces()
    world.execute("UPDATE deliveries SET due_at = now() + interval '1 hour' WHERE recipient = 1")
    with world.about() as (connection, org):
        assert deliveries.begun_by_lost(
            connection, org.organisation, world.ask("SELECT mailing FROM mailings"), 1, 2
        ) == [(2, 0)]


def test_r21_what_a_mail_has_been_through_is_known_also_after_it_was_in_a_group_and_not_begun(world: World) -> None:
    world.has_learners("A")
    world.mail.on_recipient = lambda _address, _times: "455 not now"
    world.announces()
    for _ in range(30):
        world.settle()
        world.execute("UPDATE deliveries SET due_at = NULL WHERE state = 'pending'")
        world.execute("UPDATE work SET due_at = now()")

    assert world.rows("SELECT state::text, attempts FROM deliveries") == [
        ("failed", world.runtime.settings.rollcall_mail_attempts)
    ]
    assert world.mail.named == world.runtime.settings.rollcall_mail_attempts


class TestPatience:
    """Where patience has an end."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"rollcall_mail_patience_seconds": 0.2})

    def test_r21_a_server_that_asks_for_patience_for_ever_fails_the_mail_in_the_end(self, world: World) -> None:
        world.has_learners("A")
        world.mail.on_recipient = lambda _address, _times: "450 later"
        world.announces()

        world.comes_to_rest()

        assert world.rows("SELECT state::text, reason, attempts FROM deliveries") == [("failed", "throttled", 0)]
        assert world.mail.named >= 2
        assert world.progress("news").state == "finished with failures"

    def test_r21_its_end_is_reached_also_by_a_mail_that_was_in_a_group_and_not_begun(self, world: World) -> None:
        world.has_learners("A")
        world.mail.on_recipient = lambda _address, _times: "450 later"
        world.announces()

        until = time.monotonic() + 10
        while world.progress("news").pending and time.monotonic() < until:
            world.settle()
            world.execute("UPDATE deliveries SET due_at = NULL WHERE state = 'pending'")
            world.execute("UPDATE work SET due_at = now()")

        assert world.rows("SELECT state::text, reason FROM deliveries") == [("failed", "throttled")]
