"""One open connection to a mail server: envelopes one after the other, their commands pipelined where the server offers
it (RFC 2920).

aiosmtplib connects, encrypts and signs in; from then on the connection is this protocol's. It is a state machine driven
by the replies, with no task and no future for each message: the event loop's share of a message is two calls. What a
reply belongs to is known by its order alone, so nothing is ever cut short: a connection that was answered out of order,
too late or not at all is closed, and what it was carrying is judged by how far it had come.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from tasks.mail.rules import MailAttempt, MailResult, refusal
from tasks.mail.sending.answers import About, Stage
from tasks.mail.sending.envelope import Envelope, attempt_of, storable

#: The longest line of a reply, in octets, and the most lines of one: far beyond RFC 5321 4.5.3.1.5, and bounded.
LONGEST_LINE = 4096
MOST_LINES = 100

#: Seconds between a message's end and its acceptance within which the next message's commands go along with it. A
#: server that takes longer gets them when it is done, so that none begins long after the gate was asked (R20).
PROMPT_SECONDS = 0.05

#: Looks at the clock within one timeout.
LOOKS = 4

#: Mails refused in a row after which a connection is replaced: servers lose patience with it (Postfix after 10).
REFUSALS_PER_CONNECTION = 9

#: Seconds for which the server may close once it has said goodbye: then it surely counts the connection no more.
GOODBYE_SECONDS = 0.5

#: What a server says that is done with this one connection, and would take the next.
SESSION_OVER = re.compile(
    rb"too many errors|(?:this|per|one|single|each) (?:connection|session)|time[d-]? ?out|idle for", re.IGNORECASE
)

CRLF = b"\r\n"


class _Stage(Enum):
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    MESSAGE = auto()
    NOTHING = auto()
    RESET = auto()
    QUIT = auto()


@dataclass(slots=True)
class _Carried:
    """An envelope on its way, and the first thing said against it."""

    envelope: Envelope
    against: MailAttempt | None = None


_NOBODY = _Carried(Envelope(0, "", "", b""))


class SmtpConnection(asyncio.Protocol):
    """Carries envelopes over an open transport, as `carry` tells it. Used from its event loop alone."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        extensions: Mapping[str, str],
        *,
        timeout: float,
        most: int,
        gone: Callable[["SmtpConnection"], None],
    ) -> None:
        """`timeout`: seconds of patience with an answer; `most`: messages begun on one connection; `gone`: whom to tell
        when it is closed."""
        self.begun = 0
        #: What the server said, if it was that there are too many connections.
        self.turned_away: MailAttempt | None = None
        self._gone = gone
        self._refusals = 0
        self._leaves = False
        self._most = most
        self._served = False
        self.opened_at = self.rested_at = loop.time()
        self._loop = loop
        self._transport = transport
        self._timeout = timeout
        self._pipelining = "pipelining" in extensions
        self._eight_bit = "8bitmime" in extensions
        self._utf8 = "smtputf8" in extensions
        self._sized = "size" in extensions
        largest = extensions.get("size", "")
        self._largest = int(largest) if largest.isdecimal() else 0
        self._expected: deque[tuple[_Stage, _Carried]] = deque()
        self._tail = b""
        self._closed = False
        self._more: list[bytes] = []
        self._asked_at = self.opened_at
        self._turnaround = PROMPT_SECONDS
        self._until = 0.0
        self._next: Callable[[], Envelope | None] = lambda: None
        self._report: Callable[[MailAttempt], None] = lambda _attempt: None
        self._give_back: Callable[[Envelope], None] = lambda _envelope: None
        self._resting: asyncio.Future[None] | None = None
        self._clock: asyncio.TimerHandle | None = None
        transport.set_protocol(self)

    @property
    def usable(self) -> bool:
        """Whether the connection is open, and nothing is left unanswered."""
        return not self._closed and not self._transport.is_closing() and not self._expected

    @property
    def worn(self) -> bool:
        """Whether it has served its time, or the server's patience with it."""
        return self.begun >= self._most or self._refusals >= REFUSALS_PER_CONNECTION or self.turned_away is not None

    @property
    def leaving(self) -> bool:
        """Whether it is closed, or will be."""
        return self._closed or self._leaves or self._transport.is_closing()

    def carry(
        self,
        first: Envelope,
        take: Callable[[], Envelope | None],
        report: Callable[[MailAttempt], None],
        give_back: Callable[[Envelope], None],
        *,
        until: float,
    ) -> "asyncio.Future[None]":
        """Carry an envelope, then one after the other until `take` has none; done when all that was begun is answered.
        After `until`, by the loop's clock, no message is given, also where the server at last asks for it (R20).

        Each is reported, or given back where it surely was not sent and another connection may try: the server had
        closed this one, which had served before. Ask `usable` afterwards.
        """
        self._next, self._report, self._give_back, self._until = take, report, give_back, until
        self._resting = self._loop.create_future()
        self._asked_at = self._loop.time()
        self._clock = self._loop.call_later(self._timeout / LOOKS, self._give_up_if_overdue)
        self._begin_next(b"", first)
        return self._resting

    def say_goodbye(self) -> None:
        """End the conversation in order (RFC 5321 4.1.1.10); nobody waits for the answer."""
        if self.usable and not self._leaves:
            self._leaves = True
            self._ask(b"QUIT\r\n", _Stage.QUIT, _NOBODY)
            self._clock = self._loop.call_later(self._timeout / LOOKS, self._give_up_if_overdue)

    def close(self) -> None:
        """Close at once."""
        self._closed = True
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """What the server says, in pieces of any size."""
        lines = (self._tail + data if self._tail else data).split(b"\n")
        self._tail = lines.pop()
        for line in lines:
            if line[3:4] == b"-":
                self._more.append(line)
                continue
            said = line[4:]
            if self._more:
                said = b" ".join([part[4:].strip() for part in (*self._more, line)])
                self._more.clear()
            self._reply(int(line[:3]) if line[:3].isdigit() else 0, said)
            if self._closed:
                return
        if len(self._tail) > LONGEST_LINE or len(self._more) > MOST_LINES:
            self._give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server closed, or we did: judge what was not answered."""
        self._closed = True
        self._gone(self)
        self._fail(type(exc).__name__ if exc else "the server closed the connection")

    def eof_received(self) -> bool:
        """The server says no more: close."""
        return False

    def _give_up_if_overdue(self) -> None:
        """Give up where an answer is overdue."""
        if self._loop.time() - self._asked_at > self._timeout:
            self._give_up("no answer in time")
        else:
            self._clock = self._loop.call_later(self._timeout / LOOKS, self._give_up_if_overdue)

    def _ask(self, words: bytes, stage: _Stage, carried: _Carried) -> None:
        self._expected.append((stage, carried))
        self._write(words)

    def _write(self, words: bytes) -> None:
        self._asked_at = self._loop.time()
        self._transport.write(words)

    def _begin_next(self, before: bytes, first: Envelope | None = None) -> None:
        """Begin the next envelope; `before` is what goes to the server ahead of it, in the same breath."""
        envelope = first or self._after()
        while envelope is not None:
            impossible = self._impossible(envelope)
            if impossible is None:
                carried = _Carried(envelope)
                self.begun += 1
                if self._pipelining:
                    self._expected.extend(((_Stage.MAIL, carried), (_Stage.RCPT, carried), (_Stage.DATA, carried)))
                    self._write(before + self._mail(envelope) + self._rcpt(envelope) + b"DATA\r\n")
                else:
                    self._expected.append((_Stage.MAIL, carried))
                    self._write(before + self._mail(envelope))
                return
            self._report(impossible)
            envelope = self._after()
        if before:
            self._write(before)
        elif not self._expected:
            self._rest()

    def _after(self) -> Envelope | None:
        """The next envelope, unless this connection has served its time."""
        return None if self.worn else self._next()

    def _impossible(self, envelope: Envelope) -> MailAttempt | None:
        """Why this server can never take it, if so; nothing is said to it then."""
        if envelope.utf8 and not self._utf8:
            return attempt_of(envelope, MailResult.IMPOSSIBLE, reply="the server takes no address beyond ASCII")
        if self._largest and len(envelope.message) > self._largest:
            size = f"{len(envelope.message)} octets, and the server takes {self._largest}"
            return attempt_of(envelope, MailResult.TOO_LARGE, reply=size)
        return None

    def _mail(self, envelope: Envelope) -> bytes:
        size = f" SIZE={len(envelope.message)}" if self._sized else ""
        eight_bit = " BODY=8BITMIME" if self._eight_bit and not envelope.message.isascii() else ""
        utf8 = " SMTPUTF8" if envelope.utf8 else ""
        return f"MAIL FROM:<{envelope.sender}>{size}{eight_bit}{utf8}\r\n".encode()

    def _rcpt(self, envelope: Envelope) -> bytes:
        return f"RCPT TO:<{envelope.address}>\r\n".encode()

    def _reply(self, code: int, said: bytes) -> None:
        """What one whole reply means for what it answers."""
        if not self._expected:
            self.close()  # the server says something unasked: that it closes, most likely
            return
        stage, carried = self._expected.popleft()
        if stage is _Stage.MAIL:
            self._after_command(carried, code, said, wanted=code == 250, then=_Stage.RCPT)
        elif stage is _Stage.RCPT:
            self._after_command(carried, code, said, wanted=code in {250, 251}, then=_Stage.DATA)
        elif stage is _Stage.DATA:
            self._after_data(carried, code, said)
        elif stage is _Stage.MESSAGE:
            self._after_message(carried, code, said)
        elif stage is _Stage.NOTHING:
            self._reset()
        elif stage is _Stage.RESET and code == 250:
            if not self._expected:
                self._begin_next(b"")
        elif stage is _Stage.QUIT:
            self._loop.call_later(GOODBYE_SECONDS, self.close)
        else:
            self._give_up()

    def _after_command(self, carried: _Carried, code: int, said: bytes, *, wanted: bool, then: _Stage) -> None:
        if wanted and carried.against is not None:
            self._give_up()  # a recipient taken, though the sender was refused
        elif not wanted and not self._refused(carried, code, said, Stage.RCPT if then is _Stage.DATA else Stage.MAIL):
            return
        elif self._pipelining:
            return  # what follows is said already
        elif carried.against is not None:
            self._settle_refused(carried)
        elif then is _Stage.RCPT:
            self._ask(self._rcpt(carried.envelope), then, carried)
        else:
            self._ask(b"DATA\r\n", then, carried)

    def _after_data(self, carried: _Carried, code: int, said: bytes) -> None:
        if code != 354:
            if self._refused(carried, code, said, Stage.DATA):
                self._settle_refused(carried)
            return
        if carried.against is None:
            self._give(carried)
            return
        # The server waits for a message, though it refused sender or recipient: it gets none (RFC 2920 3.1).
        self._settle(carried.against)
        self._ask(b".\r\n", _Stage.NOTHING, _NOBODY)

    def _give(self, carried: _Carried) -> None:
        """The message itself, and with it, where the server is prompt, the next one's commands."""
        if self._loop.time() > self._until:
            self.close()
            self._give_back(carried.envelope)
            self._fail("")
            return
        message = carried.envelope.message
        if not carried.envelope.dotless and (message.startswith(b".") or b"\r\n." in message):
            message = (CRLF + message).replace(b"\r\n.", b"\r\n..")[len(CRLF) :]
        self._expected.append((_Stage.MESSAGE, carried))
        whole = message + (b".\r\n" if message.endswith(CRLF) else b"\r\n.\r\n")
        if self._pipelining and self._turnaround < PROMPT_SECONDS:
            self._begin_next(whole)
        else:
            self._write(whole)
        self._turnaround = -self._loop.time()

    def _after_message(self, carried: _Carried, code: int, said: bytes) -> None:
        self._turnaround += self._loop.time()
        refused = 400 <= code < 600
        orderly = refused or 200 <= code < 300
        if refused:
            self._settle(refusal(carried.envelope.recipient, code, storable(said), Stage.END))
        else:
            self._settle(
                attempt_of(carried.envelope, MailResult.ACCEPTED if orderly else MailResult.AMBIGUOUS, code, said)
            )
        if not orderly or code == 421:
            self._give_up()
        elif not self._expected:
            self._begin_next(b"")

    def _refused(self, carried: _Carried, code: int, said: bytes, stage: Stage) -> bool:
        """Keep what was said against an envelope, the first of it; False where the conversation is over."""
        if carried.against is not None and 400 <= code < 600 and code != 421:
            return True
        if 400 <= code < 600:
            against = refusal(carried.envelope.recipient, code, storable(said), stage)
        else:
            against = attempt_of(carried.envelope, MailResult.UNREACHABLE, code, said)
        crowded = against.about is About.CONNECTIONS
        if 400 <= code < 600 and code != 421 and not crowded:
            carried.against = against
            return True
        if crowded:
            self.turned_away = against
        over = code == 421 and (self._served or self._refusals) and SESSION_OVER.search(said)
        if carried.against is None and (crowded or over):
            self._give_back(carried.envelope)
        else:
            self._settle(carried.against or against)
        self._expected = deque(each for each in self._expected if each[1] is not carried)
        self._give_up()
        return False

    def _settle(self, attempt: MailAttempt) -> None:
        """Report what became of an envelope that this connection got through with."""
        self._served = True
        self._refusals = 0 if attempt.answer is MailResult.ACCEPTED else self._refusals + 1
        if attempt.about is About.CONNECTIONS:
            self.turned_away = attempt
        self._report(attempt)

    def _settle_refused(self, carried: _Carried) -> None:
        assert carried.against is not None  # noqa: S101 - nobody else calls it
        self._settle(carried.against)
        self._reset()

    def _reset(self) -> None:
        """Begin anew on the same connection; where that fails, it is closed."""
        self._expected.append((_Stage.RESET, _NOBODY))
        if self._pipelining:
            self._begin_next(b"RSET\r\n")
        else:
            self._write(b"RSET\r\n")

    def _give_up(self, why: str = "an answer out of order") -> None:
        """Close: nothing that comes could be told from what was meant for something else."""
        self.close()
        self._fail(why)

    def _fail(self, why: str) -> None:
        """Judge what is left unanswered: given whole, it may have been taken; not so, it surely was not sent (R19)."""
        last = {id(carried): (stage, carried) for stage, carried in self._expected if carried is not _NOBODY}
        self._expected.clear()
        for stage, carried in last.values():
            if stage is _Stage.MESSAGE:
                self._settle(attempt_of(carried.envelope, MailResult.AMBIGUOUS, said=why.encode()))
            elif carried.against is not None:
                self._report(carried.against)
            elif self._served:
                self._give_back(carried.envelope)
            else:
                self._report(attempt_of(carried.envelope, MailResult.UNREACHABLE, said=why.encode()))
        self._rest()

    def _rest(self) -> None:
        self.rested_at = self._loop.time()
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        if self._resting is not None and not self._resting.done():
            self._resting.set_result(None)
