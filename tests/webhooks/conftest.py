"""A platform with webhooks, and somebody who receives."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from config.database import scoped, transaction
from config.settings import Settings
from tasks import organisations, webhooks
from tests.webhooks.receiver import Receiver, receiving
from tests.world import World


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        rollcall_home=tmp_path,
        rollcall_retry_seconds=30,
        rollcall_webhooks_private=True,
        rollcall_webhooks_timeout_seconds=5,
    )


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


async def serve_due(server: webhooks.WebhookServer, limit: int) -> int:
    """Give each webhook that is due a turn, all at once, and return when all are over; how many there were."""
    due, _ = await server.claim(limit)
    await asyncio.gather(*(server.take_turn(webhook) for webhook in due))
    return len(due) + await server.take_suspects()


@dataclass
class Hooks:
    """The webhooks of a platform, and what happens there."""

    world: World

    def add(self, receiver: Receiver, id_: str = "hook", organisation: str | None = None, **options: Any) -> str:
        """Send events to somebody, of everybody or of one organisation; the key they are signed with."""
        key, kept = webhooks.SigningKeys(self.world.runtime.endpoints.secret_key).make()
        with self.about(organisation) as (connection, number):
            assert webhooks.add(connection, number, id_, receiver.url, options.get("types"), kept, options.get("since"))
        return key

    def happens(self, times: int = 1) -> list[str]:
        """So many things happen that are told of; the ids of the events, in the order they were published in."""
        before = len(self.world.out())
        for _ in range(times):
            status = "inactive" if len(self.world.out()) % 2 == 0 else "active"
            self.world.becomes(status, "A")
            self.world.settle()
        return [event["id"] for event in self.world.out()[before:]]

    def send(self, *, again: bool = False) -> None:
        """Serve what is due until nothing is; `again`: what waits for another try, too."""

        async def serve() -> None:
            server = webhooks.WebhookServer(self.world.runtime)
            for _ in range(20):
                if not await serve_due(server, 100):
                    break
            else:
                raise AssertionError("there is always something to be served")
            server.close()

        if again:
            self.world.execute("UPDATE webhooks SET due_at = now() WHERE due_at > now()")
        asyncio.run(serve())

    def stands(self, id_: str = "hook", organisation: str | None = None) -> webhooks.Webhook:
        """How a webhook stands."""
        with self.about(organisation) as (connection, number):
            found = webhooks.find(connection, number, id_)
        assert found is not None
        return found

    def log(self, id_: str = "hook", **options: Any) -> list[webhooks.Attempt]:
        """Its attempts, the oldest first."""
        with self.about() as (connection, number):
            return webhooks.log(connection, number, id_, failures=options.get("failures", False), limit=1000)[::-1]

    def pause(self) -> float:
        """Seconds until the webhook is tried again."""
        return float(self.world.ask("SELECT extract(epoch FROM due_at - now()) FROM webhooks"))

    def enable(self, *, skip: bool = False) -> None:
        with self.about() as (connection, number):
            assert webhooks.enable(connection, number, "hook", skip=skip)

    @contextmanager
    def about(self, organisation: str | None = None) -> Iterator[tuple[Connection, int]]:
        with transaction(self.world.runtime.engine) as connection:
            number = webhooks.PLATFORM
            if organisation is not None:
                number = organisations.find(connection, [organisation])[organisation].organisation
            with scoped(connection, number):
                yield connection, number


@pytest.fixture
def hooks(world: World) -> Hooks:
    world.has_learners("A")
    return Hooks(world)
