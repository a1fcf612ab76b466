"""Who may open this course? `GET access` over HTTP, beside the same query in pgbench with as many connections."""

import re
import selectors
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from bench import lists
from bench.figures import Goal, Ratio, percentile
from bench.system import ORGANISATION, Database, System, id_of, wait_until
from config.database import transaction
from config.engine import make_engine
from config.sql import query
from tasks import accounts

#: Courses that every learner is enrolled in.
COURSES = 20

#: Connections that ask at once.
CONNECTIONS = 8

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
    """Questions a second as fast as they are answered, beside pgbench; and milliseconds at a steady pace."""
    served, bare, paced = [], [], []
    with system.database("api", size.learners) as database:
        database.execute(_FILL)
        database.execute("VACUUM ANALYZE")
        lists.index(database)
        with web(system, database) as (port, token):
            pages = lists.Lists(port, token, size.learners)
            for round_ in range(size.rounds):
                asked = Asked(port, token, size.learners, Random(round_))  # noqa: S311 - not for secrets
                asked.ask(1, None)
                served.append(len(asked.ask(size.seconds, None)) / size.seconds)
                bare.append(pgbench(system, database, size))
                paced.append(percentile([1000 * one for one in asked.ask(size.seconds, RATE)], 99))
                pages.round(database, Random(round_))  # noqa: S311
    return [
        Ratio("GET access", f"pgbench, {CONNECTIONS} connections", "/s", served, bare, goal=Goal(0.5)),
        Ratio(
            f"GET access at {RATE:,}/s, p99", "5 ms", "ms", paced, [5.0] * len(paced), digits=1,
            goal=Goal(5.0, most=True, of_ratio=False),
        ),
        *pages.ratios(),
    ]  # fmt: skip


@contextmanager
def web(system: System, database: Database) -> Iterator[tuple[int, str]]:
    """A web process, with a token of a reader; its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    engine = make_engine(database.url, role="bench")
    token = accounts.new_token()
    with transaction(engine) as connection:
        role = accounts.Role.READER
        accounts.add_token(connection, "bench", token, role, [ORGANISATION], expires_at=None, made_by="bench")
    engine.dispose()
    settings = {"ROLLCALL_WEB_PORT": str(port), "ROLLCALL_API_RATE": "1000000"}
    with system.process(database, "web", ("web",), settings):
        wait_until(lambda: answers(port), "web to listen")
        yield port, token


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


class Asked:
    """Some connections on which one question after the other is asked."""

    def __init__(self, port: int, token: str, learners: int, chance: Random) -> None:
        self._port, self._token, self._learners, self._chance = port, token, learners, chance

    def ask(self, seconds: float, rate: float | None) -> list[float]:
        """Ask for so many seconds, as fast as answers come or at a rate; how long each took from when it was due."""
        took: list[float] = []
        waiting: dict[socket.socket, float] = {}
        answers: dict[socket.socket, bytes] = {}
        idle = [socket.create_connection(("127.0.0.1", self._port)) for _ in range(CONNECTIONS)]
        selector = selectors.DefaultSelector()
        for one in idle:
            selector.register(one, selectors.EVENT_READ)
        begun, due = time.perf_counter(), 0
        while (now := time.perf_counter() - begun) < seconds or waiting:
            while idle and now < seconds and (rate is None or due / rate <= now):
                one = idle.pop()
                waiting[one] = now if rate is None else due / rate
                due += 1
                one.sendall(self._request())
            for key, _ in selector.select(0.0005):
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


def pgbench(system: System, database: Database, size: Size) -> float:
    """The same query, as often as it is answered in a second."""
    script = system.home / "access.sql"
    statement = query("enrolments.access_of").replace(":of", f"'{ORGANISATION}'")
    statement = statement.replace(":learner", "CAST(CAST(md5('learner ' || :n) AS uuid) AS text)")
    statement = statement.replace(":course", "('course-' || :c)")
    script.write_text(f"\\set n random(1, {size.learners})\n\\set c random(1, {COURSES})\n{statement.strip()};\n")
    done = subprocess.run(
        [system.psql.with_name("pgbench"), "-n", "-M", "prepared", "-c", str(CONNECTIONS), "-j", "2",
         "-T", str(size.seconds), "-f", str(script), database.url],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if found is None:
        raise RuntimeError(done.stdout)
    return float(found[1])
