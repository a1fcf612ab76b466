"""Servers that take only so many connections: R21, R31, over real sockets and a real Valkey."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Settings, SmtpServer
from config.streams import make_redis
from tasks.mail.rules import MailResult
from tasks.mail.sending import slots as module
from tasks.mail.sending.pace import CIRCUIT, SENDER, SLOTS
from tasks.mail.sending.pool import Envelope, Mailer
from tasks.mail.sending.rates import PREFIX, Feedback, Rates, current_outages
from tasks.mail.sending.slots import (
    AGAIN_SECONDS,
    GROW_SECONDS,
    LEASE_SECONDS,
    SHUT_OUT_SECONDS,
    WANTED_SECONDS,
    Slots,
    Use,
    allotted,
    grows_after,
    reported,
    shut_out,
)
from tests import mailserver
from tests.mail.scripted import HANG_UP, Script, serving
from tests.mailserver import MailServer
from tests.workers.deployment import Valkey
from tests.world import World

pytestmark = pytest.mark.serves

#: Connections that the server takes, and that a process would open.
LIMIT, MANY = 3, 8

#: What is kept under in Redis.
PACE = f"{PREFIX}learning@rollcall.example:"


class TestHowMany:
    """What is decided, without any server."""

    def test_without_a_refusal_everybody_has_what_it_wants(self) -> None:
        lanes, slots = allotted(Slots(), "a", Use(0, 0, 10), 0.0, waited_for=False)
        assert (lanes.mine, lanes.scarce) == (10, False)
        assert allotted(slots, "b", Use(0, 0, 10), 0.0, waited_for=False)[0].mine == 10

    def test_r21_a_refusal_lowers_the_number_to_what_is_open_everywhere(self) -> None:
        slots = reported(Slots(), "a", Use(2, 2, 10), 0.0)
        slots = reported(slots, "b", Use(1, 1, 10), 0.0, refused=True)
        assert slots.limit == LIMIT
        assert allotted(slots, "a", Use(2, 0, 10), 0.1, waited_for=False)[0].in_all == 2
        assert reported(slots, "a", Use(2, 2, 10), 0.1, refused=True).limit == LIMIT, "said twice, it is the same"

    def test_r21_one_more_is_tried_after_a_while_and_more_rarely_where_it_was_too_many(self) -> None:
        slots, now, tried = reported(Slots(), "a", Use(LIMIT, LIMIT, 10), 0.0, refused=True), 0.0, []
        while now < 10 * GROW_SECONDS:
            now += 0.5
            lanes, slots = allotted(slots, "a", Use(LIMIT, 0, 10), now, waited_for=False)
            if lanes.in_all > LIMIT:
                tried.append(now)
                slots = reported(slots, "a", Use(LIMIT, LIMIT, 10), now, refused=True)
        assert tried == [GROW_SECONDS, 3 * GROW_SECONDS, 7 * GROW_SECONDS]

    def test_r21_a_limit_that_was_lifted_is_found(self) -> None:
        slots, now, open_ = reported(Slots(), "a", Use(LIMIT, LIMIT, 10), 0.0, refused=True), 0.0, LIMIT
        while open_ < 10:
            now += 1.0
            lanes, slots = allotted(slots, "a", Use(open_, 0, 10), now, waited_for=False)
            open_ = lanes.in_all
            slots = reported(slots, "a", Use(open_, open_, 10), now)
        assert now <= GROW_SECONDS * (10 - LIMIT) + 10

    def test_a_process_that_died_holds_nothing_for_long(self) -> None:
        slots = reported(Slots(), "dead", Use(LIMIT, LIMIT, 10), 0.0, refused=True)
        assert allotted(slots, "b", Use(0, 0, 10), 1.0, waited_for=False)[0].mine == 0
        assert allotted(slots, "b", Use(0, 0, 10), LEASE_SECONDS + 0.1, waited_for=False)[0].mine >= LIMIT

    def test_r31_announcements_make_room_for_what_is_waited_for(self) -> None:
        slots = reported(Slots(), "bulk", Use(LIMIT, LIMIT, 10), 0.0, refused=True)
        found, slots = allotted(slots, "notices", Use(0, 0, 1), 1.0, waited_for=True)
        assert found.mine == 0
        left, slots = allotted(slots, "bulk", Use(LIMIT, 0, 10), 1.1, waited_for=False)
        assert left.in_all == LIMIT - 1
        slots = reported(slots, "bulk", Use(LIMIT - 1, 0, 10), 1.1)
        found, slots = allotted(slots, "notices", Use(0, 0, 1), 1.2, waited_for=True)
        assert found.mine == 1
        slots = reported(slots, "notices", Use(0, 0, 0), 1.5)
        assert allotted(slots, "bulk", Use(2, 0, 10), 1.6, waited_for=False)[0].in_all == LIMIT

    def test_r31_the_only_connection_is_left_to_what_is_waited_for_too(self) -> None:
        slots = reported(Slots(), "bulk", Use(1, 1, 10), 0.0, refused=True)
        _, slots = allotted(slots, "notices", Use(0, 0, 1), 1.0, waited_for=True)
        left, slots = allotted(slots, "bulk", Use(1, 0, 10), 1.1, waited_for=False)
        assert (left.mine, left.in_all) == (0, 0)
        slots = reported(slots, "bulk", Use(0, 0, 10), 1.1)
        assert allotted(slots, "notices", Use(0, 0, 1), 1.2, waited_for=True)[0].mine == 1

    def test_r31_nobody_has_more_than_its_part_while_somebody_has_none(self) -> None:
        slots = reported(Slots(), "a", Use(LIMIT, LIMIT, 10), 0.0, refused=True)
        found, slots = allotted(slots, "b", Use(0, 0, 10), 1.0, waited_for=False)
        assert found.mine == 0
        assert allotted(slots, "a", Use(LIMIT, 0, 10), 1.1, waited_for=False)[0].in_all == 2
        long_after = 1.1 + WANTED_SECONDS
        assert allotted(slots, "a", Use(LIMIT, 0, 10), long_after, waited_for=False)[0].in_all == LIMIT

    def test_r21_where_none_is_let_in_it_is_tried_now_and_then_and_becomes_an_outage(self) -> None:
        slots = reported(Slots(), "a", Use(0, 0, 10), 0.0, refused=True)
        assert allotted(slots, "a", Use(0, 0, 10), AGAIN_SECONDS / 2, waited_for=False)[0].mine == 0
        assert allotted(slots, "a", Use(0, 0, 10), AGAIN_SECONDS, waited_for=False)[0].mine == 1
        assert not shut_out(slots, 1.0)
        slots = reported(slots, "a", Use(0, 0, 10), SHUT_OUT_SECONDS, refused=True)
        assert shut_out(slots, SHUT_OUT_SECONDS)
        assert not shut_out(reported(slots, "a", Use(1, 1, 10), SHUT_OUT_SECONDS), 2 * SHUT_OUT_SECONDS)

    @given(
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12), st.booleans()), max_size=60), st.integers(1, 9)
    )
    def test_r21_all_processes_together_never_have_more_than_the_limit_for_longer_than_it_is_tried(
        self, asks: list[tuple[str, int, bool]], limit: int
    ) -> None:
        slots, open_, now = Slots(limit=limit), dict.fromkeys("abc", 0), 0.0
        for name, wants, waited_for in asks:
            now += 0.1
            lanes, slots = allotted(slots, name, Use(open_[name], 0, wants), now, waited_for=waited_for)
            open_[name] = min(lanes.in_all, wants)
            slots = reported(slots, name, Use(open_[name], 0, wants), now)
            assert sum(open_.values()) <= (slots.limit or 0) <= limit + now / GROW_SECONDS + 1

    def test_r21_a_clock_that_was_set_back_stops_nothing(self) -> None:
        slots = reported(Slots(), "a", Use(LIMIT, LIMIT, 10), 3600.0, refused=True)
        _, slots = allotted(slots, "b", Use(0, 0, 1), 3600.0, waited_for=True)
        assert allotted(slots, "b", Use(0, 0, 10), 0.0, waited_for=False)[0].mine > 0
        assert grows_after(slots) == GROW_SECONDS


@pytest.fixture
def limited() -> Iterator[MailServer]:
    """A mail server of the test's own, with a limit."""
    server, controller = mailserver.start()
    server.limit = LIMIT
    yield server
    controller.stop()


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    with TemporaryDirectory(prefix="rollcall-") as folder:  # a socket's path must be short
        server = Valkey(Path(folder))
        yield server
        server.stop()


@dataclass
class Process:
    """What a process that sends does, without a database: ask, send, tell."""

    rates: Rates
    mailer: Mailer
    waited_for: bool = False
    taken: int = 0
    others: list[MailResult] = field(default_factory=list)

    def sends(self, mails: int) -> bool:
        """Send so many, if any may go; whether all of them did."""
        grant = self.rates.grant(["x.example"] * mails, waited_for=self.waited_for, use=self.mailer.use(mails))
        if not any(grant.allowed):
            return False
        letters = [Envelope(n + 1, "us@y.example", f"r{n}@x.example", b"Subject: x\r\n\r\nx\r\n") for n in range(mails)]
        attempts = self.mailer.send(letters, within=0.1, lanes=grant.lanes)
        self.taken += sum(attempt.answer is MailResult.ACCEPTED for attempt in attempts)
        self.others += [attempt.answer for attempt in attempts if attempt.answer is not MailResult.ACCEPTED]
        became = [("x.example", attempt) for attempt in attempts]
        self.rates.learn(Feedback(became, 0.1, use=self.mailer.use(mails), refused=self.mailer.refused()))
        return len(attempts) == mails

    def sends_all(self, mails: int) -> None:
        """Send so many, however often it must ask."""
        deadline = time.monotonic() + 30
        while self.taken < mails:
            if not self.sends(min(mails - self.taken, 50)):
                threading.Event().wait(0.02)
            assert time.monotonic() < deadline, f"{self.taken} of {mails}"


@contextmanager
def process(valkey: Valkey, server: MailServer, *, waited_for: bool = False) -> Iterator[Process]:
    rates = Rates(valkey.url, "us@y.example", rate=0, domain_rate=0, pause=1)
    mailer = Mailer(SmtpServer.parse(server.url), connections=MANY, timeout=5)
    mailer.report_use_to(rates.hold)
    yield Process(rates, mailer, waited_for)
    mailer.close()


def kept(valkey: Valkey) -> set[str]:
    """What is kept in Redis, besides who is there."""
    with make_redis(valkey.url) as client:
        return {key.decode().rpartition(":")[2] for key in client.scan_iter()} - {"@workers"}


@pytest.mark.parametrize("says", [MailServer.crowded, "421 try later", ""], ids=["in words", "421", "reset"])
def test_r21_a_server_that_takes_three_connections_gets_three_and_nothing_else_changes(
    valkey: Valkey, limited: MailServer, says: str
) -> None:
    limited.crowded = says
    with process(valkey, limited) as sender:
        sender.sends_all(150)
        assert sender.others == [], "no mail was put off, and no attempt used up"
        assert kept(valkey) == {SLOTS}, "no circuit, and no rate"
        assert limited.most == LIMIT
        refused = limited.refused
        sender.sends_all(300)
        assert limited.refused <= refused + 2, "it does not ask for more again and again"


def test_r21_the_limit_is_one_for_all_processes(valkey: Valkey, limited: MailServer) -> None:
    with process(valkey, limited) as one, process(valkey, limited) as other:
        threads = [threading.Thread(target=each.sends_all, args=(150,)) for each in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (one.taken, other.taken, one.others + other.others) == (150, 150, [])
    assert limited.most == LIMIT


def test_r31_what_is_waited_for_finds_room_while_announcements_use_every_connection(
    valkey: Valkey, limited: MailServer
) -> None:
    over = threading.Event()
    with process(valkey, limited) as bulk, process(valkey, limited, waited_for=True) as notices:

        def goes_on() -> None:
            while not over.is_set():
                bulk.sends(50)

        thread = threading.Thread(target=goes_on)
        thread.start()
        bulk_first = threading.Event()
        while bulk.taken < 50:
            bulk_first.wait(0.01)
        notices.sends_all(1)
        at_notice = bulk.taken
        while bulk.taken < at_notice + 50:
            bulk_first.wait(0.01)
        over.set()
        thread.join()
    assert (notices.taken, notices.others, bulk.others) == (1, [], [])


def test_r31_idle_connections_are_closed_soon(valkey: Valkey, limited: MailServer) -> None:
    with process(valkey, limited) as bulk, process(valkey, limited, waited_for=True) as notices:
        bulk.sends_all(50)
        notices.sends_all(1)
        deadline = time.monotonic() + 30
        while limited.open:
            threading.Event().wait(0.05)
            assert time.monotonic() < deadline
    assert notices.others == []


@pytest.mark.slow
def test_r33_an_emptied_redis_costs_time_only(valkey: Valkey, limited: MailServer) -> None:
    with process(valkey, limited) as one, process(valkey, limited) as other:
        one.sends_all(50)
        with make_redis(valkey.url) as client:
            client.flushall()
        other.sends_all(50)
        one.sends_all(100)
        assert one.others + other.others == []
        valkey.stop()
        other.sends_all(100)
        assert one.others + other.others == []
    assert limited.most == LIMIT


def test_r21_a_server_that_takes_more_again_gets_more(
    valkey: Valkey, limited: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GROW_SECONDS", 0.2)
    with process(valkey, limited) as sender:
        sender.sends_all(50)
        limited.limit = None
        more = 100
        while limited.most < MANY:
            sender.sends_all(more)
            more += 50
            assert more < 10_000
    assert sender.others == []


def test_r21_a_server_that_lets_nobody_in_for_long_is_an_outage_and_says_why(
    valkey: Valkey, limited: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHUT_OUT_SECONDS", 0.5)
    limited.limit = 0
    with process(valkey, limited) as sender:
        deadline = time.monotonic() + 30
        while CIRCUIT not in kept(valkey):
            sender.sends(10)
            threading.Event().wait(0.05)
            assert time.monotonic() < deadline
        with make_redis(valkey.url) as client:
            (found,) = current_outages(client, "us@y.example")
        assert "too many connections" in found.said
        assert sender.others == []
        limited.limit = LIMIT
        sender.sends_all(20)
        assert CIRCUIT not in kept(valkey)


class TestOneConnection:
    """What is said on one connection about that connection alone."""

    @pytest.fixture
    def script(self) -> Iterator[Script]:
        with serving(Script(polite={"EHLO": b"250-here\r\n250 PIPELINING\r\n"})) as found:
            yield found

    @pytest.fixture
    def mailer(self, script: Script) -> Iterator[Mailer]:
        found = Mailer(SmtpServer.parse(f"smtp://127.0.0.1:{script.port}?tls=none"), connections=1, timeout=2)
        yield found
        found.close()

    def send(self, mailer: Mailer, mails: int) -> list[tuple[MailResult, int | None]]:
        letters = [Envelope(n + 1, "us@y.example", f"r{n}@x.example", b"Subject: x\r\n\r\nx\r\n") for n in range(mails)]
        return [(attempt.answer, attempt.code) for attempt in mailer.send(letters, within=10)]

    @pytest.mark.parametrize(
        "says",
        [
            b"421 4.7.0 mail.example Error: too many errors\r\n",
            b"421 4.4.2 mail.example Error: timeout exceeded\r\n",
            b"421 too many messages in this connection\r\n",
            b"421 4.7.0 Maximum messages per session exceeded\r\n",
        ],
    )
    def test_r21_a_server_that_is_done_with_one_connection_gets_another(
        self, script: Script, mailer: Mailer, says: bytes
    ) -> None:
        script.answers["MAIL"] = [b"250 OK\r\n", b"250 OK\r\n", says]
        assert self.send(mailer, 5) == [(MailResult.ACCEPTED, 250)] * 5
        assert script.connections == 2

    def test_r21_a_connection_on_which_all_are_put_off_is_replaced_before_the_server_loses_patience(
        self, script: Script, mailer: Mailer
    ) -> None:
        script.polite["RCPT"] = b"450 4.2.0 Greylisted\r\n"
        script.polite["DATA"] = b"554 no valid recipients\r\n"
        assert self.send(mailer, 20) == [(MailResult.THROTTLED, 450)] * 20
        heard = [connection for connection, word in script.heard if word == "RCPT"]
        assert max(heard.count(connection) for connection in heard) <= 9

    @pytest.mark.parametrize("says", [b"432 4.3.2 Concurrent connections limit exceeded\r\n", HANG_UP])
    def test_r21_a_mail_that_is_refused_on_the_only_connection_is_told_why(
        self, script: Script, mailer: Mailer, says: bytes
    ) -> None:
        script.polite["MAIL"] = says
        code = None if says is HANG_UP else 432
        (told,) = self.send(mailer, 1)
        assert told[1] == code
        assert told[0] in {MailResult.THROTTLED, MailResult.UNREACHABLE}


class TestMailings:
    """The same through everything that sends."""

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return Settings(
            rollcall_home=tmp_path, rollcall_retry_seconds=0.05, rollcall_smtp_connections=MANY, rollcall_mail_group=20
        )

    @pytest.fixture
    def mail_server(self, limited: MailServer) -> MailServer:
        return limited

    def test_r21_a_mailing_over_three_connections_puts_nobody_off(self, world: World, limited: MailServer) -> None:
        world.has_learners(*(f"L{n}" for n in range(100)))
        world.announces()
        world.comes_to_rest(60)

        counts = world.progress("news")
        assert (counts.state, counts.accepted) == ("finished", 100)
        assert world.ask("SELECT count(*) FROM attempts") == 0
        assert world.list("SELECT DISTINCT attempts FROM deliveries") == [1]
        assert limited.most == LIMIT
        assert not world.redis.exists(PACE + SENDER, PACE + CIRCUIT, PACE + "acme.example")

    def test_r21_a_mailing_whose_recipients_are_greylisted_slows_nobody_down(
        self, world: World, limited: MailServer
    ) -> None:
        limited.limit = None
        limited.greylists(0.5)
        world.has_learners(*(f"L{n}" for n in range(60)))
        world.announces()
        world.comes_to_rest(60)

        counts = world.progress("news")
        assert (counts.state, counts.accepted) == ("finished", 60)
        assert world.list("SELECT DISTINCT attempts FROM deliveries") == [1]
        assert world.list("SELECT DISTINCT reason FROM attempts") == ["throttled"]
        assert not world.redis.exists(PACE + SENDER, PACE + "acme.example"), "the pace stayed what it was"
