"""R18, R19, R33: a host that is cut off from the others, of which nobody is told, costs time and no work."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from bench.mail.letter import BODY, SUBJECT
from bench.mail.rollcall import ADDRESSES, mail_settings
from bench.system import Database, System
from tests.chaos.processes import Processes, processes
from tests.failover.load import command
from tests.hosts.network import Network, network, servers
from tests.mailserver import MailServer, start
from tests.workers.deployment import until

pytestmark = pytest.mark.serves

#: Learners, mails that a thread begins together, and seconds for which something may take on a busy machine.
LEARNERS, GROUP, PATIENCE = 300, 10, 120.0


@dataclass
class Hosts:
    """Two hosts, and what runs there."""

    network: Network
    on: System
    database: Database
    mail: MailServer
    running: Processes

    def start(self, host: int, *words: str) -> str:
        """Start a process on a host, and return its name as it is at work."""
        name = f"{words[0]} {host}"
        self.running.places[name] = self.network.host(host)
        self.running.start(name, words)
        self.says(name, b".started")
        return name

    def says(self, name: str, what: bytes, times: int = 1) -> None:
        """Wait until a process has said something so often."""
        until(lambda: self.running.log_of(name).count(what) >= times, f"{name} says {what!r}", PATIENCE)

    def command(self, *words: str) -> None:
        """Run a command, which is to succeed."""
        command(self.on, self.database, self.running.settings, *words)

    def announces(self, name: str) -> None:
        """Launch an announcement to everybody."""
        words = ["-o", "acme", "--everyone", "--subject", SUBJECT, "--body", BODY, "--id", name]
        self.command("announcements", "create", *words)
        self.command("announcements", "launch", name, "--yes", "--no-check", "-o", "acme")

    def finished(self, name: str) -> None:
        """Wait until an announcement has."""
        query = f"SELECT finished_at IS NOT NULL FROM mailings WHERE id = '{name}'"
        until(lambda: self.running.column(query) == [True], f"{name} to finish", PATIENCE)


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Network, System]]:
    """Two hosts, and servers that both reach."""
    with network(2) as found, servers(found, tmp_path_factory.mktemp("hosts")) as system:
        yield found, system


@pytest.fixture
def hosts(on: tuple[Network, System]) -> Iterator[Hosts]:
    """The same with nothing of another test, and a mail server."""
    found, system = on
    system.redis.flushall()
    with posting(found) as mail, system.database("hosts", LEARNERS) as database:
        settings = mail_settings(mail.port) | {
            "REDIS_URL": system.redis_url, "SMTP_URL": mail.url, "ROLLCALL_EMBEDDED": "", "ROLLCALL_LEASE_SECONDS": "2",
            "ROLLCALL_OFFER_SECONDS": "1", "ROLLCALL_RETRY_SECONDS": "0.5", "ROLLCALL_MAIL_GROUP": str(GROUP),
            "ROLLCALL_MAIL_BATCH": str(2 * GROUP),
        }  # fmt: skip
        with ExitStack() as stack, processes(system, database, settings, 1, {}) as running:
            for host in (1, 2):
                stack.callback(found.plug, host)
            yield Hosts(found, system, database, mail, running)


@contextmanager
def posting(on: Network) -> Iterator[MailServer]:
    """A mail server that hosts reach."""
    mail, controller = start(host=on.address)
    try:
        yield mail
    finally:
        controller.stop()


def test_r33_a_leader_whose_host_is_cut_off_is_replaced(hosts: Hosts) -> None:
    first = hosts.start(1, "relay")
    hosts.says(first, b"relay.leads")
    second = hosts.start(2, "relay")

    hosts.network.cut(1)

    hosts.says(second, b"relay.leads")
    hosts.network.plug(1)
    hosts.running.running[second].kill()
    hosts.says(first, b"relay.leads", times=2)


def test_r19_r33_a_host_cut_off_amid_mails_writes_nothing_of_them_when_it_is_back(hosts: Hosts) -> None:
    hosts.start(2, "relay")
    cut_off, other = (hosts.start(host, "pool", "tasks", "bulk", "--threads", "2") for host in (1, 2))
    held = threading.Event()
    hosts.mail.before_answer = lambda _: wait(held)
    hosts.announces("news")
    until(lambda: len(hosts.mail.taken) > 2 and both_send(hosts), "mails of both that wait for an answer", PATIENCE)

    hosts.network.cut(1)
    held.set()

    hosts.finished("news")
    hosts.network.plug(1)
    hosts.says(cut_off, b"work.lease_lost")
    taken = Counter(address.lower() for address, _ in hosts.mail.taken)
    states = dict(hosts.running.rows(
        "SELECT lower(l.email), d.state::text FROM deliveries d JOIN learners l ON l.learner = d.recipient"
        " WHERE d.state <> 'skipped'"
    ))  # fmt: skip
    uncertain = {address for address, state in states.items() if state == "uncertain"}
    assert states.keys() == set(hosts.running.column(ADDRESSES))
    assert set(states.values()) == {"accepted", "uncertain"}
    assert set(taken.values()) == {1}, "nobody gets two"
    assert states.keys() - uncertain <= taken.keys() <= states.keys(), "nobody is lost"
    assert len(uncertain) <= 2 * GROUP

    hosts.running.running[other].kill()
    hosts.announces("more")
    hosts.finished("more")
    hosts.command("verify")


def wait(event: threading.Event) -> None:
    """Wait for an event."""
    event.wait()


def both_send(hosts: Hosts) -> bool:
    """Whether two processes have begun mails."""
    return bool(hosts.running.column("SELECT count(*) FROM work WHERE queue = 'bulk' AND state = 'running'")[0] > 2)
