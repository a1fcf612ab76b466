"""Serving webhooks: one turn sends one webhook what is next for it, in order, and writes down what was answered.

Whoever serves a webhook has it to itself, by a lease and a fence. Another takes over where it is silent for longer than
the lease, and sends again what was not written down: at most what was sent within a second, under the same ids.
"""

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from config import clock
from config.database import retrying, transaction
from config.log import without_data
from config.runtime import Runtime
from tasks.events import Outgoing, cloud_event
from tasks.webhooks import sending, store
from tasks.webhooks.client import HttpClient
from tasks.webhooks.keys import KeyUnreadable, SigningKeys, signed
from tasks.webhooks.rules import Answer, Because, Problem, WebhookFailures, after_failure, target
from tasks.webhooks.sending import Claimed, Due, Tried

log = structlog.get_logger()

Result = TypeVar("Result")

#: Events read at once for one webhook.
BATCH = 100

#: Seconds after which what was sent is written down, and the most that another sends again.
RECORD_SECONDS = 1.0

#: Seconds after which a webhook that has more to be sent goes to the end of the queue.
TURN_SECONDS = 5.0

#: Webhooks of one organisation that one process serves at once: its receivers may all be slow.
MOST_OF_ONE = 20

#: Connections to the database that serving takes at once.
DATABASE_THREADS = 4

#: Tries of a webhook by itself, of which nobody came back, after which it is disabled.
MOST_TRIES = 3

#: What `rollcall webhooks test` sends.
TEST = "rollcall.webhook.test"


class WebhookServer:
    """Serves webhooks, in one event loop: its connections to them, and what it needs besides."""

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.settings
        self.runtime = runtime
        self.client = HttpClient(
            private=settings.rollcall_webhooks_private, seconds=settings.rollcall_webhooks_timeout_seconds
        )
        self.lease = runtime.lease + timedelta(seconds=RECORD_SECONDS + settings.rollcall_webhooks_timeout_seconds)
        self._signing_keys = SigningKeys(runtime.endpoints.secret_key)
        self._served: Counter[int] = Counter()
        self._threads = ThreadPoolExecutor(DATABASE_THREADS, thread_name_prefix="webhooks")

    async def claim(self, limit: int, *, suspects: bool = False) -> tuple[list[Claimed], Due]:
        """At most so many webhooks that are due, for us alone, and when the next may be; what others have nothing to be
        sent moves on. Either `suspects`, of which whoever served them never came back, or none of them."""

        served = dict(self._served)

        def claimed() -> tuple[list[Claimed], Due]:
            with transaction(self.runtime.engine) as connection:
                sending.pass_over(connection)
                found = sending.claim(
                    connection, limit, self.lease, most_of_one=MOST_OF_ONE, served=served, suspects=suspects
                )
                return found, sending.next_due(connection)

        found, due = await self._asked(claimed)
        self._served.update(webhook.organisation for webhook in found)
        return found, due

    async def take_suspects(self) -> int:
        """Serve webhooks of which whoever served them never came back, each with nothing beside it and one event at a
        time, for as long as a turn; what ends us again and again is disabled. How many there were."""
        ends, served = time.monotonic() + TURN_SECONDS, 0
        while not self.runtime.stopping.is_set() and time.monotonic() < ends:
            found, _ = await self.claim(1, suspects=True)
            if not found:
                break
            served += 1
            try:
                await self.take_turn(found[0], alone=True)
            except SQLAlchemyError:
                raise
            except Exception as problem:  # noqa: BLE001 - whatever it was, the others have their turn
                log.error("webhooks.turn_failed", **without_data(problem))  # noqa: TRY400
        return served

    async def take_turn(self, webhook: Claimed, *, alone: bool = False) -> None:
        """Send a webhook what is next for it, until nothing is left, something fails, or its turn is over."""
        try:
            if webhook.lost > 1 + MOST_TRIES:
                await self._asked(lambda: self._set_aside(webhook))
            else:
                await self._take_turn(webhook, alone=alone)
        except Exception:  # whatever it was, we are still there
            with suppress(SQLAlchemyError):
                await self._asked(lambda: self._came_back(webhook))
            raise
        finally:
            self._served[webhook.organisation] -= 1
            self._served += Counter()  # those that are zero are not kept

    async def _take_turn(self, webhook: Claimed, *, alone: bool) -> None:
        turn = _Turn(webhook, webhook.position, WebhookFailures(webhook.failures, webhook.failing_since))
        ends = time.monotonic() + TURN_SECONDS
        while events := await self._asked(lambda: self._next(turn)):
            for event in events:
                await self._send(turn, event)
                if alone or turn.failed or self.runtime.stopping.is_set() or time.monotonic() >= ends:
                    await self._asked(lambda: self._record(turn))
                    return
                if time.monotonic() - turn.recorded_at >= RECORD_SECONDS and not await self._asked(
                    lambda: self._record(turn, self.lease)
                ):
                    return
        await self._asked(lambda: self._record(turn))

    async def test(self, keyring: store.Keyring, organisation: str) -> Answer:
        """Send an event that says nothing, signed as any other; what became of it. Raises `KeyUnreadable`."""
        id_, now = uuid.uuid4(), clock.now()
        body = cloud_event(Outgoing(0, id_, TEST, now, organisation, "{}"))
        headers = signed(self._signing_keys.read(keyring.keys), str(id_), now, body)
        return await self.client.post(target(keyring.url), headers, body)

    def close(self) -> None:
        """Close every connection."""
        self.client.tidy(all_=True)
        self._threads.shutdown()

    async def _asked(self, ask: Callable[[], Result]) -> Result:
        """Ask the database, whose answers nothing else here waits for."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    def _next(self, turn: "_Turn") -> list[Outgoing]:
        with transaction(self.runtime.engine, turn.webhook.organisation) as connection:
            return sending.next_events(connection, turn.webhook, turn.position, BATCH)

    async def _send(self, turn: "_Turn", event: Outgoing) -> None:
        webhook, now = turn.webhook, clock.now()
        body = cloud_event(event)
        try:
            headers = signed(self._signing_keys.read(webhook.keys), str(event.id), now, body)
            answer = await self.client.post(target(webhook.url), headers, body)
        except KeyUnreadable:
            answer = Answer(Problem.KEY_UNREADABLE)
        except Exception as problem:  # noqa: BLE001 - whatever it was, it counts as a failure of this webhook alone
            log.error("webhooks.not_sent", webhook=webhook.id, **without_data(problem))  # noqa: TRY400
            answer = Answer(Problem.NOT_SENT)
        turn.tried.append(Tried(event, now, answer))
        if answer.problem is None:
            turn.position, turn.failing = event.position, WebhookFailures()
        else:
            turn.failed = answer

    def _came_back(self, webhook: Claimed) -> None:
        with transaction(self.runtime.engine, webhook.organisation) as connection:
            sending.came_back(connection, webhook)

    def _set_aside(self, webhook: Claimed) -> None:
        """Disable a webhook that nobody who served it came back from."""
        failing = WebhookFailures(webhook.failures, webhook.failing_since)
        with transaction(self.runtime.engine, webhook.organisation) as connection:
            disabled = sending.give_up(connection, webhook, Because.KILLED, failing, Answer(Problem.NOT_SENT))
        if disabled:
            log.error("webhooks.set_aside", organisation=webhook.organisation, webhook=webhook.id)

    def _record(self, turn: "_Turn", lease: timedelta | None = None) -> bool:
        """Write down what was sent, and what follows from a failure; we go on for another `lease`, or serve it no more.
        Whether the webhook is still ours."""
        webhook, settings = turn.webhook, self.runtime.settings
        due, disabled = lease or timedelta(), None
        if turn.failed is not None:
            follows = after_failure(
                turn.failed,
                turn.failing,
                turn.tried[-1].at,
                first=self.runtime.retry,
                longest=timedelta(seconds=settings.rollcall_webhooks_patience_seconds),
                chance=random.random(),  # noqa: S311 - nobody is to guess it, and nothing is lost if somebody does
            )
            turn.failing, due, disabled = follows.failing, follows.pause, follows.disabled
        for attempt in retrying():
            with attempt, transaction(self.runtime.engine, webhook.organisation) as connection:
                if not sending.record(
                    connection, webhook, turn.position, turn.tried, turn.failing, due, ended=lease is None
                ):
                    return False
                if disabled is not None and turn.failed is not None:
                    sending.give_up(connection, webhook, disabled, turn.failing, turn.failed)
        self._say(turn, disabled is not None)
        turn.tried, turn.recorded_at = [], time.monotonic()
        return True

    def _say(self, turn: "_Turn", disabled: bool) -> None:
        """Say in the log of the process that a webhook failed. Its URL may be a secret, and events are people's."""
        if turn.failed is not None:
            log.warning(
                "webhooks.disabled" if disabled else "webhooks.failed",
                organisation=turn.webhook.organisation,
                webhook=turn.webhook.id,
                problem=str(turn.failed.problem),
                status=turn.failed.status,
                failures=turn.failing.failures,
            )


@dataclass(slots=True)
class _Turn:
    """What one turn has come to: how far it is, and what is not written down yet."""

    webhook: Claimed
    position: int
    failing: WebhookFailures
    tried: list[Tried] = field(default_factory=list)
    failed: Answer | None = None
    recorded_at: float = field(default_factory=time.monotonic)
