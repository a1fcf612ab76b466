"""Who may open this course? `GET access` over HTTP, beside the same query in pgbench with as many connections."""

import gc
import itertools
import os
import re
import selectors
import socket
import subprocess
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random

import psutil

from bench import lists
from bench.figures import Goal, Ratio, percentile
from bench.system import ORGANISATION, Database, System, id_of, wait_until
from config.database import transaction
from config.engine import make_engine
from config.lookups import PARAMETER
from tasks import accounts
from tasks.acts.access import BY_TOKEN

#: Courses that every learner is enrolled in.
COURSES = 20

#: Connections that ask at once: of a few programs, and of many. The many are those that ask at a steady pace.
FEW, MANY = 8, 32

#: Web processes that share a port: one leaves the other core to PostgreSQL and to whoever asks.
PROCESSES = 1

#: Requests made before the clock runs, which are asked in turn.
MADE = 20_000

#: Requests a second at which the 99th percentile is taken.
RATE = 1000

_FILL = f"""
    INSERT INTO courses (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
    SELECT 1, 'course-' || n, 'Course ' || n, 1, false, 'manual', now(), now() FROM generate_series(1, {COURSES}) AS n;
    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at, activated_at)
    SELECT 1, course, 1, learner, standing = 'inactive', 1, now(), now() FROM courses, learners;
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    learners: int
    seconds: int
    rounds: int


def measure(system: System, size: Size) -> list[Ratio]:
    """Questions a second as fast as they are answered, beside pgbench; milliseconds at a steady pace; and who takes how
    much of a processor for each answer."""
    served: dict[int, list[float]] = {FEW: [], MANY: []}
    bare: dict[int, list[float]] = {FEW: [], MANY: []}
    paced, bare_paced, taken = [], [], []
    with system.database("api", size.learners) as database:
        database.execute(_FILL)
        database.execute("VACUUM ANALYZE")
        lists.index(database)
        database.execute("CHECKPOINT")  # else what was filled in is written beside what is measured
        with web(system, database) as (port, token):
            pages = lists.Lists(port, token, size.learners)
            for round_ in range(size.rounds):
                asked = Asked(port, token, size.learners, Random(round_))  # noqa: S311 - not for secrets
                asked.ask(1, FEW, None)
                for connections in (FEW, MANY):
                    before = processor(database, port)
                    answers = len(asked.ask(size.seconds, connections, None))
                    after = processor(database, port)
                    served[connections].append(answers / size.seconds)
                    bare[connections].append(pgbench(system, database, size, token, connections))
                taken.append([1_000_000 * (late - early) / answers for early, late in zip(before, after, strict=True)])
                paced.append(percentile([1000 * one for one in asked.ask(size.seconds, MANY, RATE)], 99))
                bare_paced.append(percentile(paced_pgbench(system, database, size, token), 99))
                pages.round(database, Random(round_))  # noqa: S311
    webs, databases, askers = zip(*taken, strict=True)
    return [
        *(
            Ratio(
                f"GET access, {connections} connections", f"pgbench, {connections} connections", "/s",
                served[connections], bare[connections], goal=Goal(0.5),
            )
            for connections in (FEW, MANY)
        ),
        Ratio(
            f"GET access at {RATE:,}/s, p99", f"pgbench at {RATE:,}/s, p99", "ms", paced, bare_paced, digits=1,
            goal=Goal(5.0, most=True, of_ratio=False),
        ),
        Ratio("processor of web for an answer", "of PostgreSQL", "µs", webs, databases),
        Ratio("processor of whoever asks", "of PostgreSQL", "µs", askers, databases),
        *pages.ratios(),
    ]  # fmt: skip


def processor(database: Database, port: int) -> tuple[float, float, float]:
    """Seconds of a processor that were taken: by those who listen there, by the connections of PostgreSQL, by us."""
    backends = database.session.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'rollcall web access'"
    ).fetchall()
    webs = [pid for pid in listening(port) if pid is not None]
    return _seconds(webs), _seconds(pid for (pid,) in backends), _seconds([os.getpid()])


def _seconds(pids: Iterable[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(one.user + one.system for one in times)


@contextmanager
def web(
    system: System, database: Database, processes: int = PROCESSES, role: accounts.Role = accounts.Role.READER
) -> Iterator[tuple[int, str]]:
    """Web processes, and the token of somebody with this role; their port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    engine = make_engine(database.url, role="bench")
    token = accounts.new_token()
    with transaction(engine) as connection:
        accounts.add_token(connection, "bench", token, role, [ORGANISATION], expires_at=None, made_by="bench")
    engine.dispose()
    settings = {"ROLLCALL_WEB_PORT": str(port), "ROLLCALL_WEB_SHARED": "1", "ROLLCALL_API_RATE": "1000000"}
    with ExitStack() as stack:
        for n in range(processes):
            stack.enter_context(system.process(database, f"web {n + 1}", ("web",), settings))
        wait_until(lambda: len(listening(port)) == processes, "web to listen")
        yield port, token


def listening(port: int) -> set[int | None]:
    """The processes that listen there."""
    found = psutil.net_connections("tcp")
    return {one.pid for one in found if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port}


class Asked:
    """Some connections on which one question after the other is asked."""

    def __init__(self, port: int, token: str, learners: int, chance: Random) -> None:
        self._port, self._token, self._learners, self._chance = port, token, learners, chance
        self._requests = itertools.cycle([self._request() for _ in range(MADE)])

    def ask(self, seconds: float, connections: int, rate: float | None) -> list[float]:
        """Ask on so many connections for so many seconds, as fast as answers come or at a rate; how long each took from
        when it was due. We collect no garbage meanwhile: that takes 50 ms, which would be counted as an answer's."""
        gc.disable()
        try:
            return self._ask(seconds, connections, rate)
        finally:
            gc.enable()

    def _ask(self, seconds: float, connections: int, rate: float | None) -> list[float]:
        took: list[float] = []
        waiting: dict[socket.socket, float] = {}
        answers: dict[socket.socket, bytes] = {}
        idle = deque(socket.create_connection(("127.0.0.1", self._port)) for _ in range(connections))
        selector = selectors.SelectSelector()  # it waits for microseconds, and epoll for milliseconds
        for one in idle:
            selector.register(one, selectors.EVENT_READ)
        begun, due = time.perf_counter(), 0
        while (now := time.perf_counter() - begun) < seconds or waiting:
            while idle and now < seconds and (rate is None or due / rate <= now):
                one = idle.popleft()  # each is used, or the server closes those that are not
                waiting[one] = now if rate is None else due / rate
                due += 1
                one.sendall(next(self._requests))
            left = seconds - now if rate is None or not idle else due / rate - (time.perf_counter() - begun)
            for key, _ in selector.select(max(0.0, left)):
                one = key.fileobj  # type: ignore[assignment]
                answers[one] = answers.get(one, b"") + one.recv(65_536)
                if not answers[one].startswith(b"HTTP/1.1 200"):
                    raise RuntimeError(answers[one].decode(errors="replace"))
                if not answers[one].endswith(b"]}"):
                    continue
                del answers[one]
                took.append(time.perf_counter() - begun - waiting.pop(one))
                idle.append(one)
        for one in idle:
            one.close()
        return took

    def _request(self) -> bytes:
        learner = id_of(self._chance.randint(1, self._learners))
        course = f"course-{self._chance.randint(1, COURSES)}"
        path = f"/api/v1/organisations/{ORGANISATION}/access?learner={learner}&course={course}"
        return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._token}\r\n\r\n".encode()


def pgbench(system: System, database: Database, size: Size, token: str, connections: int) -> float:
    """The same query, as often as it is answered in a second."""
    said = _pgbench(system, database, size, token, "-c", str(connections), "-j", "2")
    found = re.search(r"tps = ([\d.]+)", said)
    if found is None:
        raise RuntimeError(said)
    return float(found[1])


def paced_pgbench(system: System, database: Database, size: Size, token: str) -> list[float]:
    """Milliseconds that the same query took at the same pace, from when each was due."""
    prefix = system.home / "paced"
    for old in system.home.glob("paced.*"):
        old.unlink()
    _pgbench(system, database, size, token, "-c", str(MANY), "-j", "1", "-R", str(RATE), "-l", f"--log-prefix={prefix}")
    lines = [line.split() for log in system.home.glob("paced.*") for line in log.read_text().splitlines()]
    first = min(int(line[4]) for line in lines)  # in that second, it connects
    return [int(line[2]) / 1000 for line in lines if int(line[4]) > first + 1]


def _pgbench(system: System, database: Database, size: Size, token: str, *how: str) -> str:
    """What pgbench says of the query of `GET access`, asked with a prepared statement."""
    script = system.home / "access.sql"
    said = {
        "hash": f"'\\x{accounts.digest(token).hex()}'",
        "of": f"'{ORGANISATION}'",
        "learner": "CAST(CAST(md5('learner ' || :n) AS uuid) AS text)",
        "course": "('course-' || :c)",
    }
    statement = PARAMETER.sub(lambda found: said[found[1]], BY_TOKEN)
    script.write_text(f"\\set n random(1, {size.learners})\n\\set c random(1, {COURSES})\n{statement.strip()};\n")
    program = system.psql.with_name("pgbench")
    return subprocess.run(
        [program, "-n", "-M", "prepared", "-T", str(size.seconds), "-f", str(script), *how, database.url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
