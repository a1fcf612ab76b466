"""Exim, a second server with words of its own: what it takes lies in the mailboxes, what it refuses burns nobody."""

from collections.abc import Iterator

import pytest

from tests.servers.conftest import Through, agrees, stopped, untouched
from tests.servers.exim import Exim, exim
from tests.world import World

#: What `make chaos` runs.
SLOW = pytest.mark.slow

SECONDS = 60

#: Mails, and in how many seconds.
RATE = "20 / 2s / leaky "

GONE = ("gone1", "gone2", "gone3")


@pytest.fixture(scope="module")
def _server() -> Iterator[Exim]:
    with exim() as found:
        yield found


@pytest.fixture
def server(_server: Exim) -> Exim:
    """Exim as it comes, whose mailboxes are empty."""
    _server.mailboxes.empty()
    return _server


def announced(world: World, many: int, *others: str) -> None:
    """An announcement to so many learners, and to others by their names."""
    world.has_learners(*(f"L{n}" for n in range(many)), *others)
    world.announces()


def test_r21_unknown_users_are_suppressed_and_everybody_else_has_the_mail_once(
    world: World, server: Exim, through: Through
) -> None:
    through(server.url)
    announced(world, 30, *GONE)

    world.comes_to_rest(SECONDS)

    server.delivers()
    gone = tuple(f"{id_}@acme.example" for id_ in GONE)
    assert agrees(world, server.mailboxes, suppressed=gone) == {"accepted": 30, "failed": 3}


def test_r21_a_relay_that_is_not_permitted_suppresses_nobody(world: World, server: Exim, through: Through) -> None:
    through(server.url)
    world.has_learners(*(f"L{n}" for n in range(10)))
    world.send(*(world.event("learner.saved", world.learner(f"F{n}", email=f"f{n}@far.example")) for n in range(10)))
    world.announces()
    world.settle()

    server.delivers()
    found = agrees(world, server.mailboxes)
    assert (found["accepted"], found["failed"]) == (10, 0)
    assert stopped(world) == [("far.example", "our sign-in or encryption", 550, "relay not permitted")]


@pytest.mark.parametrize(
    ("main", "rcpt", "data"),
    [
        pytest.param("smtp_accept_max_per_host = 1", "", "", id="connections of a host", marks=SLOW),
        pytest.param("smtp_accept_max = 1", "", "", id="connections"),
        pytest.param("smtp_accept_max_per_connection = 5", "", "", id="messages of a connection", marks=SLOW),
        pytest.param("smtp_accept_max_nonmail = 0", "", "", id="commands besides", marks=SLOW),
        pytest.param(
            "",
            "  defer ratelimit = 20 / 2s / per_rcpt / leaky\n        message = Sending rate limit exceeded",
            "",
            id="rate",
            marks=SLOW,
        ),
        pytest.param(
            "pipelining_advertise_hosts =\nchunking_advertise_hosts =", "", "", id="no pipelining", marks=SLOW
        ),
    ],
)
def test_r21_what_exim_limits_fails_nobody(world: World, through: Through, main: str, rcpt: str, data: str) -> None:
    with exim(main, rcpt, data) as server:
        through(server.url)
        announced(world, 30)

        world.comes_to_rest(SECONDS)

        server.delivers()
        assert agrees(world, server.mailboxes) == {"accepted": 30}


@pytest.mark.parametrize(
    ("rcpt", "code"),
    [
        ("  drop message = Too many bad recipients", 550),
        pytest.param(
            "  deny message = rejected because $sender_host_address is in a black list at zen.example", 550, marks=SLOW
        ),
        pytest.param("  deny message = Sender verify failed", 550, marks=SLOW),
    ],
)
def test_r21_what_exim_refuses_us_for_burns_nobody_and_is_said(
    world: World, server: Exim, through: Through, rcpt: str, code: int
) -> None:
    with exim(rcpt=rcpt) as strict:
        through(strict.url)
        announced(world, 20)
        world.settle()

        assert untouched(world)
        assert [code for _, _, code, _ in stopped(world)] == [code]
    through(server.url)
    world.comes_to_rest(SECONDS)
    server.delivers()
    assert agrees(world, server.mailboxes) == {"accepted": 20}
