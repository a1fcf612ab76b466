"""Many deliveries, attempts and events of old months are dropped amid mail: for how long it stands still, what the drop
takes."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from bench.fanout import through_the_queue
from bench.figures import Goal, Ratio
from bench.system import INGRESS, MAIL, RELAY, TASKS, Database, System, wait_until
from config.database import autocommit, is_locked, transaction
from config.engine import make_engine
from tasks import retention
from workers.relay.retention import drop

#: Milliseconds for which mail may stand still, and locks be held.
MOST_MS = 1000

#: Seconds in which mail is looked at, before the drop and with it.
LOOKED_AT_SECONDS = 3.0

#: The first partition ends three months ago, as if the table had been divided then, and the months after it are there.
_DIVIDE = (
    "ALTER TABLE {table} DETACH PARTITION {table}_before",
    """
    DO $$ BEGIN
        EXECUTE format('ALTER TABLE {table} ATTACH PARTITION {table}_before FOR VALUES FROM (MINVALUE) TO (%L)',
                       date_trunc('month', now()) - interval '3 months');
    END $$
    """,
    """
    SELECT make_partition('{table}', date_trunc('month', now()) + n * interval '1 month',
                          date_trunc('month', now()) + (n + 1) * interval '1 month')
    FROM generate_series(-3, 3) n
    """,
)

#: The same of what is divided by the numbers of mailings.
_DIVIDE_BY_NUMBER = (
    *_DIVIDE[:1],
    """
    DO $$ BEGIN
        EXECUTE format('ALTER TABLE {table} ATTACH PARTITION {table}_before FOR VALUES FROM (MINVALUE) TO (%L)',
                       number_of_month(now() - interval '3 months'));
    END $$
    """,
    *_DIVIDE[2:],
    """
    INSERT INTO mailings (organisation, mailing, kind, id, state, policy, subject, body, audience, launched_at,
                          finished_at, counted_at, counts)
    OVERRIDING SYSTEM VALUE
    SELECT 1, -n, 'announcement', 'old-' || n, 'finished', 'hold', 'Old', 'Old', '{{"everyone": true}}', at, at, at,
           '[{{"state": "accepted", "reason": null, "n": 100000}}]'
    FROM generate_series(1, {rows} / 100000) n, CAST(now() - interval '200 days' AS timestamptz) at
    """,
)

#: Rows of long ago: deliveries, and attempts as greylisting leaves them, a hundred thousand of each mailing; and events
#: that another database published.
_AGE = {
    "deliveries": """
    INSERT INTO deliveries (organisation, mailing, recipient, state, attempts, code, settled_at, address)
    SELECT 1, -1 - (n - 1) / 100000, 1 + (n - 1) % 100000, 'accepted', 1, 250, now() - interval '200 days',
           'l' || n || '@acme.example'
    FROM generate_series({first}, {last}) n
    """,
    "attempts": """
    INSERT INTO attempts (organisation, mailing, recipient, attempted_at, code, reason, reply, address)
    SELECT 1, 1000000 + n / 100000, n % 100000, now() - interval '200 days' - n * interval '0.1 seconds', 451,
           'throttled', '451 4.7.1 Greylisted', 'l' || n || '@acme.example'
    FROM generate_series({first}, {last}) n
    """,
    "outbox": """
    INSERT INTO outbox (organisation, type, time, data, position)
    SELECT 1, 'rollcall.access.suspended', now() - interval '200 days' - n * interval '0.1 seconds',
           json_build_object('learner', 'learner ' || n), -n
    FROM generate_series({first}, {last}) n
    """,
}
_AGED = ("VACUUM ANALYZE {table}_before", "CHECKPOINT")

#: Rows that are inserted at once.
_SLICE = 1_000_000

#: The relay drops none of it by itself.
_SETTINGS = {"ROLLCALL_KEEP_OUTBOX_DAYS": "400", "ROLLCALL_KEEP_DELIVERIES_DAYS": "400"}

_SENT = "SELECT count(*) FROM deliveries WHERE state = 'accepted' AND mailing > 0"

#: The longest time between two groups of mails that were settled in turn, in milliseconds.
_LONGEST = """
    SELECT coalesce(max(extract(epoch FROM gap)) * 1000, 0) FROM (
        SELECT settled_at - lag(settled_at) OVER (ORDER BY settled_at) AS gap FROM deliveries
        WHERE settled_at BETWEEN '{begun}' AND '{ended}') gaps
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: deliveries, attempts and events that are dropped, and learners who are mailed meanwhile."""

    deliveries: int
    attempts: int
    events: int
    learners: int
    rounds: int


def measure(system: System, size: Size) -> list[Ratio]:
    """Milliseconds: the longest pause between mails; the longest that somebody waits who reads the table, which is how
    long the locks are held; and the transaction that drops, which removes files after it has given its locks back."""
    rows = {"deliveries": size.deliveries, "attempts": size.attempts, "outbox": size.events}
    pauses: dict[str, list[tuple[float, float]]] = {table: [] for table in rows}
    drops: dict[str, list[tuple[float, float]]] = {table: [] for table in rows}
    waits: dict[str, list[tuple[float, float]]] = {table: [] for table in rows}
    for _ in range(size.rounds):
        with system.database("aging", size.learners) as database:
            for table, n in rows.items():
                _age(database, table, n)
            engine = make_engine(database.url, role="bench")
            with system.processes(database, INGRESS | RELAY | TASKS | MAIL, _SETTINGS):
                through_the_queue(system, database, "course")
                wait_until(lambda: database.value(_SENT) > size.learners // 20, "mail to be on its way")
                for table in rows:
                    begun = database.value("SELECT now()")
                    time.sleep(LOOKED_AT_SECONDS)
                    between = database.value("SELECT now()")
                    with _reading(database.url, table) as while_dropped:
                        old = _dropped(engine, table)
                    with _reading(database.url, table) as while_empty:
                        drops[table].append((old, _dropped(engine, table)))
                    waits[table].append((max(while_dropped), max(while_empty)))
                    time.sleep(LOOKED_AT_SECONDS)
                    ended = database.value("SELECT now()")
                    pauses[table].append((_pause(database, between, ended), _pause(database, begun, between)))
            engine.dispose()
    return [
        ratio for table, n in rows.items() for ratio in _judged(table, n, pauses[table], waits[table], drops[table])
    ]


def _judged(
    table: str,
    rows: int,
    pauses: Sequence[tuple[float, float]],
    waits: Sequence[tuple[float, float]],
    drops: Sequence[tuple[float, float]],
) -> list[Ratio]:
    goal = Goal(MOST_MS, most=True, of_ratio=False)
    what = f"{rows:,} {'events' if table == 'outbox' else table}"
    (paused, before), (waited, less), (dropped, empty) = (zip(*one, strict=True) for one in (pauses, waits, drops))
    return [
        Ratio(
            f"longest pause between mails, {what} being dropped", "the same before it", "ms", paused, before, goal=goal
        ),
        Ratio(f"the transaction that drops {what}", "the same of an empty month", "ms", dropped, empty, 1),
        Ratio(f"longest wait for the table, {what} being dropped", "an empty month", "ms", waited, less, 1, goal),
    ]


def _age(database: Database, table: str, rows: int) -> None:
    """Fill the first partition of a table."""
    for statement in _DIVIDE_BY_NUMBER if table == "deliveries" else _DIVIDE:
        database.execute(statement.format(table=table, rows=rows))
    for first in range(1, rows + 1, _SLICE):
        database.execute(_AGE[table].format(first=first, last=min(first + _SLICE - 1, rows)))
    for statement in _AGED:
        database.execute(statement.format(table=table))


@contextmanager
def _reading(url: str, table: str) -> Iterator[list[float]]:
    """Read a table again and again, as whoever needs a lock that the drop has; milliseconds of each time."""
    took, ended = [0.0], threading.Event()

    def read() -> None:
        with psycopg.connect(url, autocommit=True) as session:
            while not ended.wait(0.002):
                begun = time.perf_counter()
                session.execute(f"SELECT FROM {table} LIMIT 0".encode())
                took.append((time.perf_counter() - begun) * 1000)

    reader = threading.Thread(target=read)
    reader.start()
    yield took
    ended.set()
    reader.join()


def _pause(database: Database, begun: datetime, ended: datetime) -> float:
    longest = float(database.value(_LONGEST.format(begun=begun, ended=ended)))
    if not longest:
        raise RuntimeError("mail had ended: more learners are needed")
    return longest


def _dropped(engine: Engine, table: str) -> float:
    """Drop the oldest partition of a table as the relay does, however often somebody has a lock; milliseconds of the
    transaction that did."""
    while True:
        with autocommit(engine) as connection:
            found = [one for one in retention.partitions(connection) if one.of_table == table]
        oldest = retention.to_drop(found, datetime.now(UTC), 0)[0]
        begun = time.perf_counter()
        try:
            with transaction(engine) as connection:
                done = drop(connection, oldest, 0)
        except OperationalError as problem:
            if not is_locked(problem):
                raise
            continue
        if done:
            return (time.perf_counter() - begun) * 1000
