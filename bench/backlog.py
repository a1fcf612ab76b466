"""Millions of due deliveries and a long history, beside ten thousand that are due and none: how fast mail goes, what it
costs who watches, and what a reader costs that holds a snapshot for the whole of it."""

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle

import psycopg
from sqlalchemy import Connection, Engine

from bench.api import web
from bench.figures import Goal, Ratio, percentile
from bench.mail.letter import BODY, SUBJECT
from bench.mail.rollcall import rollcall, senders
from bench.mail.sink import RecordingSink, recording
from bench.system import NUMBER, Database, System, wait_until
from config.database import transaction
from config.engine import make_engine
from tasks import accounts, work
from tasks.mail.ledger import gate

#: Deliveries that are due on the other side.
FEW = 10_000

#: Of the rate of the other side; of the rate without a reader; and milliseconds, 95 times of a hundred.
LEAST_OF_FEW, LEAST_WITH_READER, MOST_MS = 0.9, 0.95, 100.0

#: Questions of a kind.
QUESTIONS = 100

#: Learners of the large side at most: the deliveries are divided between announcements.
LEARNERS = 1_000_000

#: Processes that send, and threads of each.
_BULK, _THREADS = 2, 2

#: Deliveries of a piece of work, and those that are asked about at once.
_PIECE, _GROUP = 1000, 200

_MAILING = """
    INSERT INTO mailings (organisation, kind, id, state, policy, subject, body, audience, launched_at, finished_at,
                          counts, counted_at)
    VALUES (1, 'announcement', '{id}', '{state}', 'hold', %(subject)s, %(body)s, '{{"everyone": true}}', now(),
            {finished}, {counts}, {finished})
"""

_DUE = """
    INSERT INTO deliveries (organisation, mailing, recipient, state)
    SELECT 1, mailing, learner, 'pending' FROM mailings CROSS JOIN learners
    WHERE mailings.id = '{id}' AND standing = 'active' AND email IS NOT NULL;
    INSERT INTO work (organisation, queue, actor, subject, low, high)
    SELECT 1, 'bulk', 'mail.deliver', mailing, n, n + {piece} - 1
    FROM mailings CROSS JOIN generate_series(1, {learners}, {piece}) n WHERE mailings.id = '{id}'
"""

#: Of what happened, so many of a hundred rows are deliveries, attempts, events out and events in.
_HISTORY = {
    "deliveries": (70, """
    INSERT INTO deliveries (organisation, mailing, recipient, state, attempts, code, settled_at, address)
    SELECT 1, (SELECT min(mailing) FROM mailings WHERE state = 'finished') + (n - 1) / {learners},
           1 + (n - 1) % {learners}, 'accepted', 1, 250, now() - interval '5 days', 'l' || n || '@acme.example'
    FROM generate_series({first}, {last}) n
    """),
    "attempts": (15, """
    INSERT INTO attempts (organisation, mailing, recipient, attempted_at, code, reason, reply)
    SELECT 1, 1000000 + n / 100000, n % 100000, now() - n * interval '0.1 seconds', 451, 'throttled', '451 Greylisted'
    FROM generate_series({first}, {last}) n
    """),
    "outbox": (10, """
    INSERT INTO outbox (organisation, type, time, data, position)
    SELECT 1, 'rollcall.access.suspended', now() - n * interval '0.1 seconds',
           json_build_object('learner', 'learner ' || n), -n
    FROM generate_series({first}, {last}) n
    """),
    "arrivals": (5, """
    INSERT INTO arrivals (source, id, organisation)
    SELECT 'urn:history', n::text, 'acme' FROM generate_series({first}, {last}) n
    """),
}  # fmt: skip

#: Rows that are inserted at once.
_SLICE = 1_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """Deliveries that are due, rows of what happened, mails of which the rate is taken, and rounds."""

    due: int
    history: int
    mails: int
    rounds: int


@dataclass(frozen=True, slots=True)
class _Sent:
    """Mails a second, and seconds of a processor for a thousand."""

    rate: float
    cpu: float


def measure(system: System, size: Size) -> list[Ratio]:
    """Mails a second on both sides, with a reader and without, in alternating rounds; milliseconds of the questions."""
    few: list[_Sent] = []
    many: list[_Sent] = []
    read: list[_Sent] = []
    with recording(system.home) as sink, system.database("backlog", min(LEARNERS, size.due)) as large:
        _fill(large, min(LEARNERS, size.due), size.due, size.history)
        for _ in range(size.rounds):
            with system.database("few", FEW) as small:
                _fill(small, FEW, FEW, 0)
                few.append(_sent(system, small, sink, min(size.mails, FEW * 8 // 10)))
            many.append(_sent(system, large, sink, size.mails))
            with _reader(large):
                read.append(_sent(system, large, sink, size.mails))
        asked = _asked(system, large, sink)
    due = f"{size.due:,} due, {size.history:,} rows of history"
    within = Goal(MOST_MS, most=True, of_ratio=False)
    return [
        _compared(f"mails: {due}", f"{FEW:,} due", many, few, LEAST_OF_FEW),
        _costs(f"processor for 1,000 mails: {due}", f"{FEW:,} due", many, few),
        _compared("the same, a reader holding a snapshot", "no reader", read, many, LEAST_WITH_READER),
        _costs("processor for 1,000 mails, a reader holding a snapshot", "no reader", read, many),
        *(
            Ratio(f"{what}, p95", f"{MOST_MS:g} ms", "ms", [1000 * percentile(took, 95)], [MOST_MS], 1, within)
            for what, took in asked.items()
        ),
    ]


def _compared(what: str, against: str, ours: list[_Sent], theirs: list[_Sent], least: float) -> Ratio:
    return Ratio(what, against, "/s", [one.rate for one in ours], [one.rate for one in theirs], goal=Goal(least))


def _costs(what: str, against: str, ours: list[_Sent], theirs: list[_Sent]) -> Ratio:
    return Ratio(what, against, "s", [one.cpu for one in ours], [one.cpu for one in theirs], 2)


def _fill(database: Database, learners: int, due: int, history: int) -> None:
    written = psycopg.ClientCursor(database.session)
    letter = {"subject": SUBJECT, "body": BODY}
    mailings = history * _HISTORY["deliveries"][0] // 100 // learners + 1 if history else 0
    for n in range(mailings):
        written.execute(
            _MAILING.format(id=f"old-{n}", state="finished", finished="now()", counts="'{}'").encode(), letter
        )
    for share, statement in _HISTORY.values():
        rows = history * share // 100
        for first in range(1, rows + 1, _SLICE):
            last = min(first + _SLICE - 1, rows)
            database.execute(statement.format(first=first, last=last, learners=learners))
    for n in range(max(1, due // learners)):
        written.execute(
            _MAILING.format(id=f"due-{n}", state="sending", finished="NULL", counts="NULL").encode(), letter
        )
        database.execute(_DUE.format(id=f"due-{n}", learners=learners, piece=_PIECE))
    database.execute("VACUUM ANALYZE")
    database.execute("CHECKPOINT")


def _sent(system: System, database: Database, sink: RecordingSink, mails: int) -> _Sent:
    """Send so many, from the first one's arrival on."""
    sink.forget()
    with rollcall(system, database, sink.port, senders(_BULK, _THREADS)) as running:
        wait_until(lambda: _taken(sink) > 0, "the first mail")
        before, begun = running.usage(), _taken(sink)
        wait_until(lambda: _taken(sink) >= mails, f"{mails} mails")
        used = running.usage().since(before)
        sent = _taken(sink) - begun
    at = sorted(mail.at for mail in sink.taken())[:mails]
    return _Sent((mails - 1) / (at[-1] - at[0]), sum(used.cpu.values()) * 1000 / sent)


def _taken(sink: RecordingSink) -> int:
    """How many mails arrived."""
    time.sleep(0.1)  # a look costs what is measured
    return sum(line.startswith(b"taken") for line in sink.log.read_bytes().splitlines())


@contextmanager
def _reader(database: Database) -> Iterator[None]:
    """Somebody who began to read, and does not end."""
    with psycopg.connect(database.url) as session:
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        session.execute("SELECT count(*) FROM mailings")
        yield


def _asked(system: System, database: Database, sink: RecordingSink) -> dict[str, list[float]]:
    """The seconds that each question took, while mail goes on."""
    engine = make_engine(database.url, role="bench")
    with (
        rollcall(system, database, sink.port, senders(_BULK, _THREADS)),
        web(system, database, role=accounts.Role.OPERATOR) as (port, token),
    ):
        pieces = _pieces(database)
        took = {
            "choosing whom to wake": _times(engine, None, _offer),
            "claiming a piece": _times(engine, NUMBER, lambda connection: _claim(connection, next(pieces)[0])),
            "claiming its first mails": _times(engine, NUMBER, lambda connection: _gate(connection, *next(pieces)[1:])),
            "status, over HTTP": _gets(port, "/api/v1/system", token),
            "/metrics": _gets(port, "/metrics", token),
        }
    engine.dispose()
    return took


def _pieces(database: Database) -> Iterator[tuple[int, int, int, int]]:
    query = b"SELECT work, subject, low, high FROM work WHERE state = 'due' ORDER BY random() LIMIT %d"
    yield from cycle(database.session.execute(query % (2 * QUESTIONS)).fetchall())


def _times(engine: Engine, organisation: int | None, ask: Callable[[Connection], object]) -> list[float]:
    took = []
    for _ in range(QUESTIONS):
        with transaction(engine, organisation) as connection:
            begun = time.perf_counter()
            ask(connection)
            took.append(time.perf_counter() - begun)
            connection.rollback()
    return took


def _offer(connection: Connection) -> object:
    return work.offer(connection, "bulk", bound=8, repeat=timedelta(seconds=5))


def _claim(connection: Connection, number: int) -> object:
    return work.claim(connection, NUMBER, number, timedelta(seconds=30))


def _gate(connection: Connection, mailing: int, low: int, high: int) -> object:
    return gate.at_the_gate(connection, NUMBER, mailing, low, high, _GROUP)


def _gets(port: int, path: str, token: str) -> list[float]:
    took = []
    for _ in range(QUESTIONS + 1):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        begun = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        body = answer.read()
        took.append(time.perf_counter() - begun)
        connection.close()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{path}: {body.decode(errors='replace')}")
    return took[1:]  # the first compiles
