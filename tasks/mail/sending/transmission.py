"""Envelopes on their way over the connections of a mailer, for as long as none must be begun later (R20)."""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from tasks.mail.addresses import wire_address
from tasks.mail.rules import NOBODY, MailAttempt, MailResult
from tasks.mail.sending.answers import About, Stage
from tasks.mail.sending.envelope import Envelope
from tasks.mail.sending.outages import not_reached
from tasks.mail.sending.pace import Lanes
from tasks.mail.sending.protocol import SmtpConnection

if TYPE_CHECKING:
    from tasks.mail.sending.pool import Mailer

#: Seconds after the last may begin in which the server may still ask for a message (R20).
LATE_SECONDS = 0.5

#: Replies after which nothing more is begun for the moment: the server closes, or wants us to come back later.
HOLD = frozenset({421, 454})


class Transmission:
    """Envelopes on their way over as many connections as it takes."""

    def __init__(self, mailer: "Mailer", envelopes: Iterable[Envelope], within: float, lanes: Lanes | None) -> None:
        self._mailer = mailer
        self._envelopes = iter(envelopes)
        self._within = within
        self._lanes = lanes
        self._again: deque[Envelope] = deque()
        self._attempts: list[MailAttempt] = []
        self._deadline = 0.0
        self._stopped = False
        self._refused: MailAttempt | None = None

    async def done(self) -> list[MailAttempt]:
        """Carry all of them; what became of each that was begun."""
        mailer = self._mailer
        mailer.begin(self._lanes)
        self._deadline = mailer.loop.time() + self._within
        async with asyncio.TaskGroup() as lanes:
            for _ in range(mailer.connections if self._lanes is None else min(self._lanes.mine, mailer.connections)):
                first = self._take(in_time=False)
                if first is None:
                    break
                lanes.create_task(self._lane(first))
        if self._lanes is None and self._refused is not None:
            for envelope in self._again:
                self._attempts.append(replace(self._refused, recipient=envelope.recipient))
        return self._attempts

    async def _lane(self, first: Envelope) -> None:
        self._mailer.entered(1)
        try:
            await self._carry(first)
        finally:
            self._mailer.entered(-1)

    async def _carry(self, first: Envelope) -> None:
        """One connection after the other, until nothing is left to begin."""
        head: Envelope | None = first
        while head is not None:
            connection = self._mailer.take_idle()
            if connection is None:
                connection = await self._connect(head)
                if connection is None:
                    return
                if self._late:
                    self._mailer.put_back(connection)
                    return
            until = self._deadline + LATE_SECONDS
            await connection.carry(head, self._take, self._report, self._again.append, until=until)
            self._mailer.put_back(connection)
            if connection.turned_away is not None:
                self._turned_away(connection.turned_away)
                return
            head = self._take()

    async def _connect(self, head: Envelope) -> SmtpConnection | None:
        """A new connection; None where there is none to be had, or not in time while others work."""
        if not await self._mailer.room():
            self._again.append(head)
            return None
        connecting = self._mailer.loop.create_task(self._mailer.connect())
        while not connecting.done():
            left = max(self._deadline - self._mailer.loop.time(), LATE_SECONDS)
            await asyncio.wait({connecting}, timeout=left)
            if not connecting.done() and self._lanes is not None and self._mailer.works:
                connecting.add_done_callback(self._connected_late)
                self._again.append(head)
                return None
        try:
            return connecting.result()
        except Exception as problem:  # noqa: BLE001 - whatever it was, nobody was reached
            await self._mailer.others_connect()
            attempt, limited = self._not_connected(problem)
            if limited:
                self._again.append(head)
                self._turned_away(attempt)
            else:
                self._stopped = True
                self._report(replace(attempt, recipient=head.recipient))
            return None

    def _connected_late(self, connecting: "asyncio.Task[SmtpConnection]") -> None:
        problem = connecting.exception()
        if problem is None:
            self._mailer.put_back(connecting.result())
        else:
            attempt, limited = self._not_connected(problem)
            if limited:
                self._mailer.turned_away(attempt)

    def _not_connected(self, problem: BaseException) -> tuple[MailAttempt, bool]:
        """What was said as we connected, and whether it is only that there are too many: because it says so, or because
        others are let in."""
        code, said, what = not_reached(problem, self._mailer.secrets)
        attempt = MailAttempt(NOBODY, MailResult.UNREACHABLE, code=code, reply=said, about=what, stage=Stage.CONNECT)
        company = self._mailer.works or (self._lanes is not None and self._lanes.company)
        refused = code == 421 or (code is None and what is None)
        return attempt, what in {About.CONNECTIONS, About.RATE} or (company and refused)

    def _turned_away(self, attempt: MailAttempt) -> None:
        self._refused = attempt
        if self._lanes is not None:
            self._mailer.turned_away(attempt)

    @property
    def _late(self) -> bool:
        return self._mailer.loop.time() >= self._deadline

    def _take(self, *, in_time: bool = True) -> Envelope | None:
        """The next envelope to begin, or None where there is none, or none is to be begun any more."""
        if self._stopped or (in_time and self._late):
            return None
        if self._again:
            return self._again.popleft()
        for envelope in self._envelopes:
            try:
                address = wire_address(envelope.address)
            except ValueError as problem:
                reply = str(problem).replace(envelope.address, "the address")
                self._attempts.append(MailAttempt(envelope.recipient, MailResult.IMPOSSIBLE, reply=reply))
                continue
            if address == envelope.address and address.isascii():
                return envelope
            return replace(envelope, address=address, utf8=not address.isascii())
        return None

    def _report(self, attempt: MailAttempt) -> None:
        self._attempts.append(attempt)
        if attempt.code in HOLD and attempt.about is not About.GREYLISTED:
            self._stopped = True
