"""Large exports by a real `web` process: they take no more memory than small ones, and nothing from anybody else."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench.system import forget_peak, peak_megabytes
from tasks.accounts import Role
from tests.api.conftest import Served
from tests.mailserver import free_port
from tests.workers.deployment import Deployment, until
from tests.workers.serving import answers
from tests.world import World
from workers.web.exporting import OF_ONE, OF_ORGANISATION

#: Rows of the large report: several times what the buffers of a connection hold.
LEARNERS, COURSES = 4000, 25

#: Megabytes that a process may have more than before, while it streams many times as much: buffers, and pieces of them.
FLAT = 8


@dataclass(frozen=True)
class Running:
    """A `web` process, and whom it lets in."""

    served: Served
    deployment: Deployment

    @property
    def pid(self) -> int:
        """Its process."""
        return self.deployment.processes["web"].pid


@pytest.fixture
def web(world: World, tmp_path: Path) -> Iterator[Running]:
    """A process of its own, with a report of 100,000 rows."""
    with running(world, tmp_path, LEARNERS, COURSES) as found:
        yield found


@contextmanager
def running(world: World, folder: Path, learners: int, courses: int) -> Iterator[Running]:
    """A process of its own, with a report of a row for each of these learners in each of these courses."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    world.runtime = replace(world.runtime, endpoints=replace(world.runtime.endpoints, public_url=url))
    fill(world, learners, courses)
    deployment = Deployment(world.runtime, folder, web_port=port)
    deployment.start("web")
    try:
        until(lambda: answers(port), "the pages are served")
        yield Running(Served(world, url, {}), deployment)
    finally:
        deployment.stop()


def fill(world: World, learners: int, courses: int) -> None:
    """Learners, each enrolled in each of these courses."""
    world.execute(
        """
        INSERT INTO learners (organisation, learner, id, standing, version, email)
        SELECT 1, n, 'L' || n, 'active', 0, 'l' || n || '@acme.example' FROM generate_series(1, :learners) n
        """,
        learners=learners,
    )
    world.execute("UPDATE organisations SET learners = :learners", learners=learners)
    world.execute(
        """
        INSERT INTO courses (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
        SELECT 1, 'c' || n, 'Course', 1, false, 'manual', now(), now() FROM generate_series(1, :courses) n
        """,
        courses=courses,
    )
    world.execute(
        """
        INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at, activated_at)
        SELECT 1, course, 1, learner, false, 1, now(), now() FROM learners, courses
        """
    )


@contextmanager
def exporting(web: Running, token: str | None) -> Iterator[socket.socket]:
    """An export of which somebody has read the beginning, and waits with the rest."""
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        line.connect(("127.0.0.1", urlsplit(web.served.public_url).port))
        line.settimeout(30)
        path = "/api/v1/organisations/acme/reports/training?format=jsonl"
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        assert line.recv(12) == b"HTTP/1.1 200"
        yield line


def streamed(web: Running) -> tuple[int, float]:
    """Octets of an export that was read to its end, and megabytes by which the process had more than before."""
    admin = web.served.client()
    for _ in range(2):
        admin.get("reports/training", tab="archived", format="jsonl")
    forget_peak(web.pid)
    before = peak_megabytes(web.pid)
    read = 0
    with exporting(web, admin.token) as line:
        while (piece := line.recv(1 << 20)) and not piece.endswith(b"\r\n0\r\n\r\n"):
            read += len(piece)
    return read, peak_megabytes(web.pid) - before


@pytest.mark.slow
def test_memory_is_flat_under_a_large_export(web: Running) -> None:
    read, grown = streamed(web)

    assert read > LEARNERS * COURSES * 200
    assert grown <= FLAT, f"{grown:.1f} MB more, while {read / 2**20:.0f} MB were streamed"


def test_heavy_exports_of_one_organisation_keep_nobody_else_waiting(web: Running) -> None:
    world = web.served.world
    other = replace(world, organisation="globex")
    other.has_organisation()
    for one in (world, other):
        one.has_learners("A")
        one.becomes("inactive", "A")
    tokens = [web.served.client(Role.ADMIN, "acme", *more).token for more in ((), ("globex",))]
    of_other = web.served.client(Role.ADMIN, "globex", organisation="globex")

    with ExitStack() as stack:
        for n in range(OF_ORGANISATION):
            stack.enter_context(exporting(web, tokens[n // OF_ONE]))
        until(lambda: waiting_to_be_read(world) == OF_ORGANISATION, "nobody reads on")
        refused = web.served.client().get("reports/training")
        toggled = [client.post("learners/A/activate") for client in (of_other, web.served.client())]
        theirs = of_other.get("reports/training", tab="active")

        assert (refused.status, refused.headers["retry-after"]) == (429, "2")
        assert [one.json.get("changed") for one in toggled] == [True, True]
        assert theirs.status == 200
        assert under_way(world) == OF_ORGANISATION
        until(lambda: waiting_to_be_read(world) == OF_ORGANISATION, "nobody has read on")
    until(lambda: waiting_to_be_read(world) == 0, "their transactions have ended")


def under_way(world: World, which: str = "state = 'active' AND query LIKE 'COPY%'") -> int:
    """Exports that have begun and not ended."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    return int(world.ask(f"{asked} AND application_name = 'rollcall web exports' AND {which}"))


def waiting_to_be_read(world: World) -> int:
    """Exports whose reader takes nothing."""
    return under_way(world, "wait_event = 'ClientWrite'")
