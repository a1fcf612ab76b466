"""Real mail servers, which keep what they deliver, and a world that sends through them."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tasks.mail import delivery
from tasks.mail.sending.rates import current_outages
from tests.servers.mailboxes import Mailboxes
from tests.servers.postfix import Postfix
from tests.servers.postfix import postfix as started_postfix
from tests.world import World

#: Gives the world the mail server of a URL.
Through = Callable[[str], None]


@pytest.fixture(scope="session")
def _postfix() -> Iterator[Postfix]:
    with started_postfix() as found:
        yield found


@pytest.fixture
def postfix(_postfix: Postfix) -> Postfix:
    """Postfix, whose mailboxes are empty."""
    _postfix.delivers()
    _postfix.mailboxes.empty()
    return _postfix


@pytest.fixture
def through(world: World) -> Iterator[Through]:
    """Send through another mail server from now on, over new connections."""
    settings = world.runtime.settings
    used: list[str] = []

    def leave() -> None:
        if used:
            connections, timeout = settings.rollcall_smtp_connections, settings.rollcall_smtp_timeout_seconds
            delivery._mailer(used.pop(), connections, timeout).close()
            delivery._mailer.cache_clear()

    def use(url: str) -> None:
        leave()
        used.append(url)
        world.runtime = replace(world.runtime, endpoints=replace(world.runtime.endpoints, smtp_url=url))

    yield use
    leave()


def agrees(world: World, mailboxes: Mailboxes, *, suppressed: tuple[str, ...] = ()) -> Counter[str]:
    """The ledger and the mailboxes say the same, nobody has a mail twice, the counts add up, and nobody is suppressed
    but these; how many deliveries there are of each state."""
    told = world.rows(
        """
        SELECT CAST(d.state AS text), lower(l.email), count(*) FROM deliveries d
        JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient GROUP BY 1, 2
        """
    )
    accepted = sorted(address for state, address, many in told if state == "accepted" for _ in range(many))
    delivered = mailboxes.delivered
    assert [address for address, _ in delivered] == accepted, "the ledger equals what the mailboxes hold"
    assert len(delivered) == len(set(delivered)), "nobody has a mail twice"
    for id_ in world.list("SELECT id FROM mailings WHERE kind = 'announcement'"):
        counts = world.progress(id_)
        done = counts.accepted + sum(counts.skipped.values()) + counts.failed + counts.cancelled + counts.uncertain
        assert counts.selected == done + counts.pending
    assert sorted(world.list("SELECT address FROM suppressions")) == sorted(suppressed)
    found: Counter[str] = Counter()
    for state, _, many in told:
        found[state] += many
    return found


def stopped(world: World) -> list[tuple[str, str, int | None, str]]:
    """What operators see of why no mail goes."""
    found = current_outages(world.redis, world.runtime.endpoints.mail_from)
    return [(one.where, one.about, one.code, one.said) for one in found]


def untouched(world: World) -> bool:
    """Nothing has failed, and no attempt is used up."""
    return world.rows("SELECT DISTINCT CAST(state AS text), attempts FROM deliveries") == [("pending", 0)]
