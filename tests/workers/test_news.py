"""What is to be done is announced: nobody waits for a look that somebody takes now and then."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from config.database import transaction
from config.runtime import Runtime
from tasks import webhooks
from tests.webhooks.receiver import receiving
from tests.workers.deployment import until
from tests.world import World
from workers import relay
from workers import webhooks as sender
from workers.relay.leader import CHORES

#: Seconds: never, for a test.
NEVER = 3600.0


@contextmanager
def running(runtime: Runtime, *runs: Callable[[Runtime], None]) -> Iterator[None]:
    """Processes as threads, until the block ends."""
    threads = [threading.Thread(target=run, args=(runtime,)) for run in runs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        runtime.stopping.set()
        for thread in threads:
            thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


def leads(world: World) -> bool:
    """Whether a relay has the lead."""
    asked = "FROM pg_locks JOIN pg_database d ON d.oid = database WHERE datname = current_database() AND objid = 7402"
    return bool(world.ask(f"SELECT EXISTS (SELECT {asked} AND locktype = 'advisory')"))


def test_the_relay_is_told_of_what_is_to_be_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for chore in CHORES:
        monkeypatch.setattr(chore, "seconds", NEVER)
    world.has_learners("A")
    world.has_course("safety")
    world.has_segment("empty")
    with running(world.runtime, relay.run):
        until(lambda: leads(world), "a lead")
        world.asks_to_enrol("safety", "nobody", request="r1")
        until(lambda: len(world.out("enrolment.finished")) == 1, "the end of a fan-out without work")
        world.announces(audience={"segments": ["empty"]})
        until(lambda: len(world.out("announcement.finished")) == 1, "the end of a mailing to nobody")
        world.becomes("inactive", "A")
        until(lambda: len(world.out("access.suspended")) == 1, "an event out")


def test_a_webhook_is_sent_events_as_soon_as_they_are_published(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "IDLE_SECONDS", NEVER)
    world.has_learners("A")
    settings = world.runtime.settings.model_copy(update={"rollcall_webhooks_private": True})
    runtime = Runtime(settings, world.runtime.endpoints, world.runtime.engine)
    _, kept = webhooks.SigningKeys(runtime.endpoints.secret_key).make()
    with receiving() as receiver:
        with transaction(runtime.engine, webhooks.PLATFORM) as connection:
            webhooks.add(connection, webhooks.PLATFORM, "hook", receiver.url, None, kept, None)
        with running(runtime, relay.run, sender.run):
            until(lambda: leads(world), "a lead")
            until(lambda: listens(world), "somebody who hears the news")
            world.becomes("inactive", "A")
            until(lambda: len(receiver.requests) == 1, "the event")
            world.becomes("active", "A")
            until(lambda: len(receiver.requests) == 2, "the next event")


def listens(world: World) -> bool:
    """Whether the webhooks process hears the news."""
    query = (
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN %web%')"
    )
    return bool(world.ask(query))
