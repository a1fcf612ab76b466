"""Every page of the console on a large organisation, with 20 people who each open one a second."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from urllib.parse import quote

from bench.api import listening
from bench.figures import Goal, Ratio, percentile
from bench.lists import index
from bench.system import ORGANISATION, Database, System, id_of, wait_until
from config.database import transaction
from config.engine import make_engine
from tasks import accounts, mail
from workers.web.console import app
from workers.web.console.visits import PAGES

#: People who look at once, and the milliseconds that a page may take 95 times of a hundred.
PEOPLE, MOST = 20, 100.0

#: Seconds between two pages of one person.
EVERY = 1.0

COURSES, SUPPRESSED, HELD = 20, 100, 2000

#: Rows that are inserted at once.
SLICE = 1_000_000

_FILL = f"""
    INSERT INTO courses (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
    SELECT 1, 'course-' || n, 'Course ' || n, 1, false, 'manual', now(), now() FROM generate_series(1, {COURSES}) AS n;
    INSERT INTO segments (organisation, id, name, saved_at)
    SELECT 1, 'segment-' || n, 'Segment ' || n, now() FROM generate_series(1, 50) AS n;
    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at, activated_at, started_at,
                            completed_at)
    SELECT 1, course, 1, learner, standing = 'inactive', 1, now() - interval '20 days', now() - interval '20 days',
           CASE WHEN learner % 3 > 0 THEN now() - (learner % 19) * interval '1 day' END,
           CASE WHEN learner % 3 > 1 THEN now() - (learner % 17) * interval '1 day' END
    FROM courses JOIN learners ON learner % {COURSES} = course % {COURSES};
    INSERT INTO memberships (organisation, segment, learner, member, since)
    SELECT 1, 1 + learner % 50, learner, true, now() FROM learners;
    INSERT INTO suppressions (organisation, address, reason)
    SELECT 1, mail_key(email), 'hard bounce' FROM learners WHERE email IS NOT NULL AND learner % {SUPPRESSED} = 10;
    INSERT INTO unsubscribed (organisation, learner) SELECT 1, learner FROM learners WHERE learner % {SUPPRESSED} = 11;
    INSERT INTO audit (organisation, at, who, door, act, outcome)
    SELECT 1, now() - n * interval '1 second', 'ann@acme.example', 'console', 'learners.activate', 'done'
    FROM generate_series(1, 100000) AS n;
    INSERT INTO samples (at, flow, waiting, in_flight, failing, passed)
    SELECT date_trunc('minute', now()) - n * interval '1 minute', flow, n % 97, n % 7, 0, n % 31
    FROM generate_series(1, 2880) AS n CROSS JOIN unnest(ARRAY['tasks', 'mail', 'bulk', 'in', 'out']) AS flow;
    INSERT INTO inbox (seq, source, id, type, organisation, state, reason, body)
    SELECT nextval(pg_get_serial_sequence('arrivals', 'seq')), 'bench', 'held-' || n, 'platform.course.started',
           '{ORGANISATION}', 'quarantined', 'unknown learner', '{{}}'
    FROM generate_series(1, {HELD}) AS n;
"""

_MAILING = """
    INSERT INTO mailings (organisation, kind, id, state, policy, subject, body, audience, launched_at, finished_at)
    VALUES (1, 'announcement', 'news-{n}', '{state}', 'hold', 'News {n}', 'Hello', '{{"everyone": true}}', {launched},
            {finished})
"""

_DELIVERIES = """
    INSERT INTO deliveries (organisation, mailing, recipient, state, attempts, code, settled_at)
    SELECT 1, mailing, learner,
           CAST(CASE WHEN mailings.state = 'sending' AND learner % 2 = 0 THEN 'pending' ELSE 'accepted' END
                AS delivery_state),
           1, 250, now()
    FROM mailings CROSS JOIN learners
    WHERE mailings.id = 'news-{n}' AND learner > {first} AND learner <= {last}
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is, and how often each person opens each page."""

    learners: int
    deliveries: int
    rounds: int


def measure(system: System, size: Size) -> list[Ratio]:
    """Milliseconds of each page, 95 times of a hundred, from when somebody wanted it until it was there."""
    with system.database("console", size.learners) as database:
        if database.new:
            _fill(database, size)
        with web(system, database) as port:
            cookies = _people(database)
            took = {name: Opened(port, path, cookies).seconds(size.rounds) for name, path in _pages(size)}
    goal = Goal(MOST, most=True, of_ratio=False)
    return [
        Ratio(
            f"{name}, p95",
            f"p50 {1000 * percentile(one, 50):.1f} ms; {MOST:.0f} ms",
            "ms",
            [1000 * percentile(one, 95)],
            [MOST],
            digits=1,
            goal=goal,
        )
        for name, one in took.items()
    ]


def _fill(database: Database, size: Size) -> None:
    database.execute(_FILL)
    mailings = max(2, size.deliveries // size.learners)
    database.execute(_MAILING.format(n="draft", state="draft", launched="NULL", finished="NULL"))
    for n in range(1, mailings + 1):  # the last is on its way
        state, finished = ("sending", "NULL") if n == mailings else ("finished", "now()")
        database.execute(_MAILING.format(n=n, state=state, launched="now()", finished=finished))
        for first in range(0, size.learners, SLICE):
            database.execute(_DELIVERIES.format(n=n, first=first, last=first + SLICE))
    database.execute("VACUUM ANALYZE")
    index(database)
    _keep_counts(database)


def _keep_counts(database: Database) -> None:
    """Keep the counts of what is finished, as the relay does."""
    engine = make_engine(database.url, role="bench")
    more = True
    while more:
        with transaction(engine) as connection:
            more = bool(mail.keep_counts(connection))
    engine.dispose()


def _people(database: Database) -> list[str]:
    """The cookies of those who look: operators, who see every page."""
    engine = make_engine(database.url, role="bench")
    cookies = []
    with transaction(engine) as connection:
        for n in range(PEOPLE):
            email = f"person-{n}@acme.example"
            accounts.add_account(connection, email, accounts.Role.OPERATOR, [], "bench")
            known = accounts.account_of(connection, email)
            assert known is not None  # noqa: S101 - it was added, or kept
            cookies.append(accounts.begin_session(connection, known.account, None))
    engine.dispose()
    return cookies


def _pages(size: Size) -> Iterator[tuple[str, str]]:
    """Every page that is declared and can be shown here; and of lists, what else is asked of them."""
    known = {"organisation": ORGANISATION, "learner": id_of(size.learners // 2), "announcement": "news-1"}
    known |= {"course": "course-1", "segment": "segment-1"}
    drafts = {"announcements/{announcement}/launch", "announcements/{announcement}/edit"}
    last = max(2, size.deliveries // size.learners)
    assert app.DECLARING  # noqa: S101 - its modules declare the pages
    for page in PAGES:
        fields = {part[1:-1] for part in page.parts if part.startswith("{")}
        if page.method == "GET" and not page.exports and fields <= known.keys():
            of = known | ({"announcement": "news-draft"} if "/".join(page.parts[2:]) in drafts else {})
            path = "/".join(quote(of.get(part[1:-1], part), safe="") for part in page.parts)
            yield "/".join(part for part in page.parts if part != "organisations") or "the way in", path
    users = f"organisations/{ORGANISATION}/users"
    yield "users, all", f"{users}?tab=all"
    yield "an announcement on its way", f"organisations/{ORGANISATION}/announcements/news-{last}"
    yield "its recipients", f"organisations/{ORGANISATION}/announcements/news-{last}/recipients"
    yield "users, searched for one", f"{users}?search=user{size.learners // 2}"
    yield "users, searched for some", f"{users}?search=last123"
    yield "users, searched for nobody", f"{users}?search=zq321xj"
    yield "suppressions, searched", f"organisations/{ORGANISATION}/technical/suppressions?search=last123%40"
    yield "audit log, of somebody", "system/audit?who=nobody"


@contextmanager
def web(system: System, database: Database) -> Iterator[int]:
    """One web process; its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"ROLLCALL_WEB_PORT": str(port), "PUBLIC_URL": f"http://127.0.0.1:{port}"}
    with system.process(database, "web", ("web",), settings):
        wait_until(lambda: len(listening(port)) == 1, "web to listen")
        yield port


class Opened:
    """One page, and the people who open it."""

    def __init__(self, port: int, path: str, cookies: list[str]) -> None:
        self._port, self._path, self._cookies = port, f"/console/{path}".rstrip("/"), cookies
        self._took: list[float] = []
        self._wrong: list[str] = []

    def seconds(self, rounds: int) -> list[float]:
        """How long each person waited, each time. The first time does not count: whatever is compiled is, then."""
        chance = Random(self._path)  # noqa: S311 - not for secrets
        begun = time.perf_counter() + 0.1
        people = [
            threading.Thread(target=self._look, args=(cookie, begun + chance.random() * EVERY, rounds + 1))
            for cookie in self._cookies
        ]
        for one in people:
            one.start()
        for one in people:
            one.join()
        if self._wrong:
            raise RuntimeError(f"{self._path}: {self._wrong[0]}")
        return self._took

    def _look(self, cookie: str, first: float, rounds: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        for turn in range(rounds):
            due = first + turn * EVERY
            time.sleep(max(0.0, due - time.perf_counter()))
            connection.request("GET", self._path, headers={"Cookie": f"rollcall={cookie}"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status not in {200, 303}:
                self._wrong.append(f"{answer.status} {body[:500].decode(errors='replace')}")
                break
            if turn:
                self._took.append(time.perf_counter() - due)
        connection.close()
