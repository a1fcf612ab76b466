"""R21, R31 against Postfix, through the real processes: how long it takes beside the server's own limit."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from bench.mail.rollcall import ADDRESSES, Rollcall, rollcall, senders
from bench.system import Database, System
from tasks.mail.sending.rates import current_outages
from tests.chaos.conftest import say
from tests.servers.milter import ACCEPT, Milter, filtering
from tests.servers.policy import Greylist, greylisting
from tests.servers.postfix import PASSWORD, USER, Postfix, postfix
from tests.servers.unpacked import free_port, wait_until

#: Learners of whom 3,000 are active and have an address, all of them at one domain.
LEARNERS = 3_340

#: Seconds for which a server greylists, and within which everybody has the mail.
GREYLISTED_SECONDS = float(os.environ.get("CHAOS_GREYLISTED_SECONDS", "60"))
WITHIN = 2.5

#: Seconds of an outage; fewer show that it runs. Within how many it is said, and all is sent once it is over.
OUTAGE_SECONDS = float(os.environ.get("CHAOS_OUTAGE_SECONDS", "60"))
SAID_SECONDS = 10.0
REPAIRED_SECONDS = 120.0

#: What the server takes for each message, in seconds, where the number of connections is what limits; the limit; mails.
SLOW_SECONDS = 0.05
CONNECTIONS = 3
MAILS = 660

_STATES = "SELECT count(*) FROM deliveries WHERE state = '{}'"


@pytest.fixture(scope="module")
def _server() -> Iterator[Postfix]:
    with postfix() as found:
        yield found


@pytest.fixture
def server(_server: Postfix) -> Postfix:
    """Postfix, whose mailboxes are empty."""
    _server.delivers()
    _server.mailboxes.empty()
    return _server


def agrees(database: Database, server: Postfix, *, cut: int = 0) -> int:
    """Everybody has the mail once, the ledger says so, and nobody is suppressed; how many they are. Of as many as `cut`
    it may be uncertain: the server was away before it answered (R19)."""
    server.delivers()
    everybody = {row[0] for row in database.session.execute(ADDRESSES).fetchall()}
    accepted = database.value(_STATES.format("accepted"))
    uncertain = database.value(_STATES.format("uncertain"))
    have = server.mailboxes.recipients
    assert len(have) == len(set(have)), "nobody has a mail twice"
    assert set(have) <= everybody
    assert accepted + uncertain == len(everybody)
    assert accepted <= len(have)
    assert uncertain <= cut
    assert database.value("SELECT count(*) FROM deliveries WHERE state NOT IN ('accepted', 'skipped')") == uncertain
    assert database.value("SELECT max(attempts) FROM deliveries") == 1, "patience uses up no attempt"
    assert database.value("SELECT count(*) FROM suppressions") == 0
    return len(everybody)


@pytest.mark.parametrize("percent", [10, 100])
def test_r21_a_greylist_is_passed_within_twice_its_own_delay(on: System, server: Postfix, percent: int) -> None:
    with (
        greylisting(Greylist(percent, seconds=GREYLISTED_SECONDS)) as greylist,
        on.database(f"greylist_{percent}", LEARNERS) as database,
    ):
        port = server.port(smtpd_recipient_restrictions=f"check_policy_service inet:127.0.0.1:{greylist.port}")
        with rollcall(on, database, port, senders(2, 1)) as ours:
            ours.announce("news")
            seconds = ours.finish("news")
        many = agrees(database, server)
    say(f"greylist: {many:,} mails, {percent} % put off for {GREYLISTED_SECONDS:g} s: done in {seconds:.0f} s")
    assert seconds < WITHIN * GREYLISTED_SECONDS


def test_r21_a_limit_on_connections_is_used_up(on: System, server: Postfix) -> None:
    slow = Milter(_takes_its_time)
    rates = {}
    with filtering(slow):
        for name, limit, connections in (("without", 0, CONNECTIONS), ("with", CONNECTIONS, 10)):
            port = server.port(smtpd_milters=f"inet:127.0.0.1:{slow.port}", smtpd_client_connection_count_limit=limit)
            settings = {"ROLLCALL_SMTP_CONNECTIONS": str(connections)}
            with (
                on.database(f"connections_{name}", MAILS) as database,
                rollcall(on, database, port, senders(1, 2), settings) as ours,
            ):
                ours.announce("news")
                seconds = ours.finish("news")
                rates[name] = agrees(database, server) / seconds
            server.mailboxes.empty()
    say(
        f"connections: {rates['with']:.1f} mails a second where the server allows {CONNECTIONS} connections,"
        f" {rates['without']:.1f} with {CONNECTIONS} and no limit"
    )
    assert rates["with"] >= 0.9 * rates["without"]


def _takes_its_time() -> bytes:
    threading.Event().wait(SLOW_SECONDS)
    return ACCEPT


@dataclass
class Outage:
    """A server that takes mail until it fails, and again once it is mended."""

    url: str
    fails: Callable[[], None]
    mended: Callable[[], None]


@pytest.fixture(params=["away", "password", "milter"])
def outage(request: pytest.FixtureRequest, server: Postfix) -> Iterator[Outage]:
    """What may fail: the server, the sign-in, a program that the server asks about each message."""
    if request.param == "away":
        port = server.port(smtpd_banner="away")
        yield Outage(f"smtp://127.0.0.1:{port}?tls=none", lambda: server.closes(port), lambda: server.opens(port))
    elif request.param == "password":
        port = server.port(
            smtpd_sasl_auth_enable="yes", smtpd_tls_security_level="may", smtpd_banner="password",
            smtpd_timeout="2s", smtpd_client_restrictions="permit_sasl_authenticated, reject",
        )  # fmt: skip

        def fails() -> None:
            server.lets_in("another")
            server.closes(port)  # who is signed in stays so
            server.opens(port)

        url = f"smtp://{USER}:{quote(PASSWORD)}@127.0.0.1:{port}?tls=starttls"
        yield Outage(url, fails, lambda: server.lets_in(PASSWORD))
        server.lets_in(PASSWORD)
    else:
        yield from _milter(server)


def _milter(server: Postfix) -> Iterator[Outage]:
    port = free_port()
    works = [filtering(Milter(), port)]
    works[0].__enter__()

    def fails() -> None:
        works.pop().__exit__(None, None, None)

    def mended() -> None:
        works.append(filtering(Milter(), port))
        works[0].__enter__()

    options = {"milter_default_action": "tempfail", "milter_connect_timeout": "2s"}
    yield Outage(server.url(smtpd_milters=f"inet:127.0.0.1:{port}", **options), fails, mended)
    if works:
        fails()


def test_r21_an_outage_burns_nobody_is_said_and_is_caught_up_with(
    on: System, server: Postfix, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"SMTP_URL": outage.url, "SSL_CERT_FILE": str(server.certificate)}
    with on.database("outage", LEARNERS) as database, rollcall(on, database, 0, senders(2, 1), settings) as ours:
        ours.announce("news")
        database.wait_for(_STATES.format("accepted").replace("count(*)", "count(*) > 200"))
        outage.fails()
        failed_at = time.monotonic()
        try:
            said = _said(on, ours)
            said_after = time.monotonic() - failed_at
            while time.monotonic() < failed_at + OUTAGE_SECONDS:
                assert database.value(_STATES.format("failed")) == 0
                threading.Event().wait(0.5)
            assert [one["said"] for one in ours.command("status")["mail_stopped"]], "it is said as long as it lasts"
        finally:
            outage.mended()
        mended_at = time.monotonic()
        ours.finish("news")
        caught_up = time.monotonic() - mended_at
        left = ours.command("status")["mail_stopped"]
        say(
            f"outage of {OUTAGE_SECONDS:g} s: said after {said_after:.1f} s: {said}; all sent {caught_up:.0f} s after"
            " it was mended"
        )
        agrees(database, server, cut=20)
    assert said_after < SAID_SECONDS
    assert caught_up < REPAIRED_SECONDS
    assert left == []


def _said(on: System, ours: Rollcall) -> str:
    """What `status` says of why no mail goes, once it does."""
    sender = ours.settings["MAIL_FROM"]
    wait_until(lambda: bool(current_outages(on.redis, sender)), "it to be said that no mail goes", SAID_SECONDS * 2)
    found = current_outages(on.redis, sender)[0]
    return f"{found.code or ''} {found.said}".strip()
