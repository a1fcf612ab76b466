"""R18, R19, R26, R32: the primary of PostgreSQL is killed, and Rollcall goes on with the one that takes its place."""

from collections import Counter
from collections.abc import Iterator

import pytest

from bench.mail.rollcall import ADDRESSES, mail_settings
from bench.mail.sink import Manners, recording
from bench.system import System, event, id_of, system
from tests.chaos.processes import processes
from tests.chaos.test_starts import told
from tests.failover.cluster import Cluster, cluster
from tests.failover.load import (
    BEGUN_AT_MOST,
    COMMANDS,
    GROUP,
    SETTINGS,
    Load,
    announce,
    command,
    enrolled,
    rides_it_out,
    wait_for,
)

pytestmark = pytest.mark.serves

LEARNERS = 1000

#: Of how many the mailing is settled.
SETTLED = "SELECT count(*) {} FROM deliveries WHERE state IN ('accepted', 'uncertain')"

UNCERTAIN = """
    SELECT lower(email) FROM deliveries d JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
    WHERE state = 'uncertain'
"""

CHARGED = "SELECT l.id FROM consumptions JOIN learners l USING (organisation, learner)"


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    """Two, of which one follows the other."""
    with cluster() as found:
        yield found


@pytest.fixture(scope="module")
def on(nodes: Cluster) -> Iterator[System]:
    """Rollcall's servers, with the cluster for its PostgreSQL."""
    with system(nodes.url()) as found:
        yield found


def test_r18_r19_r26_r32_the_primary_is_killed_and_nothing_is_lost_or_doubled(nodes: Cluster, on: System) -> None:
    nodes.is_whole(synchronous=True)

    rides_it_out(nodes, on, Load(600, mails=400, starts=300, kills=(0.1,), portion=100, takes=0.03))


def charged(on: System) -> list[str]:
    """Whose charges were told, in their order."""
    return [each["data"]["learner"] for each in told(on.redis) if each["type"] == "rollcall.seat.consumed"]


@pytest.mark.slow
def test_r19_a_standby_that_lacks_the_last_mails_holds_all_mail_and_asks(nodes: Cluster, on: System) -> None:
    nodes.is_whole(synchronous=False)
    on.redis.flushall()
    kept, lost = (event("course.started", {"learner": id_of(n), "course": "started"}) for n in (10, 20))
    with recording(on.home, manners=Manners(takes=0.01)) as sink, on.database("behind", LEARNERS) as database:
        settings = mail_settings(sink.port) | SETTINGS
        settings["DATABASE_URL"] = nodes.url_of_hosts(database.name)
        with processes(on, database, settings, 1, COMMANDS) as running:
            on.publish(enrolled(20))
            wait_for(running, "SELECT count(*) FROM enrolments", 20)
            on.publish([kept])
            wait_for(running, CHARGED, id_of(10))
            announce(on, database, settings, "--everyone")
            wait_for(running, SETTLED.format("> 100"), True)
            receiver = nodes.hold_back()
            (before,) = running.column(SETTLED.format(""))
            on.publish([lost])
            wait_for(running, SETTLED.format(f">= {before + 4 * GROUP}"), True)
            wait_for(running, "SELECT count(*) FROM consumptions", 2)
            while charged(on) != [id_of(10), id_of(20)]:
                running.watch(0.05)
            primary = nodes.primary()
            assert primary is not None
            nodes.kill(primary)
            receiver.terminate()
            receiver.resume()

            wait_for(running, "SELECT asks FROM mail_control", True)
            assert running.column(CHARGED) == [id_of(10)], "what the standby was not sent is lost"
            (left,) = running.column("SELECT count(*) FROM deliveries WHERE state = 'pending'")
            command(on, database, settings, "restored", "--yes")
            (pending,) = running.column("SELECT count(*) FROM deliveries WHERE state = 'pending'")
            assert 0 < pending <= left - GROUP, "Redis knows what went"
            command(on, database, settings, "mail", "resume")
            command(on, database, settings, "announcements", "resume", "news", "-o", "acme")
            on.publish([lost])
            wait_for(running, "SELECT finished_at IS NOT NULL FROM mailings WHERE id = 'news'", True)
            wait_for(running, "SELECT count(*) FROM consumptions", 2)
        for proof in (["verify"], ["seats", "verify"]):
            command(on, database, settings, *proof)
        selected = set(running.column(ADDRESSES))
        sink.settle()
        taken = Counter(mail.recipient for mail in sink.taken())
        uncertain = set(running.column(UNCERTAIN))
        assert set(taken.values()) == {1}, "nobody gets two"
        assert taken.keys() <= selected
        assert selected - taken.keys() <= uncertain, "nobody is lost"
        assert len(selected - taken.keys()) <= BEGUN_AT_MOST, "what was begun as the primary died"
