"""Many attempts of old months are dropped while mail goes on: for how long it stands still, and what the drop takes."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from bench.fanout import through_the_queue
from bench.figures import Goal, Ratio
from bench.system import INGRESS, MAIL, RELAY, TASKS, System, wait_until
from config.database import autocommit, is_locked, transaction
from config.engine import make_engine
from tasks import retention

#: Milliseconds for which mail may stand still, and locks be held.
MOST_MS = 1000

#: Seconds in which mail is looked at, before the drop and with it.
LOOKED_AT_SECONDS = 3.0

#: The first partition ends three months ago, as if the table had been divided then, and the months after it are there.
_DIVIDE = (
    "ALTER TABLE attempts DETACH PARTITION attempts_before",
    """
    DO $$ BEGIN
        EXECUTE format('ALTER TABLE attempts ATTACH PARTITION attempts_before FOR VALUES FROM (MINVALUE) TO (%L)',
                       date_trunc('month', now()) - interval '3 months');
    END $$
    """,
    """
    SELECT make_partition('attempts', date_trunc('month', now()) + n * interval '1 month',
                          date_trunc('month', now()) + (n + 1) * interval '1 month')
    FROM generate_series(-3, 3) n
    """,
)

#: Attempts of long ago, a hundred thousand of each mailing, as greylisting leaves them.
_AGE = (
    """
    INSERT INTO attempts (organisation, mailing, recipient, attempted_at, code, reason, reply, address)
    SELECT 1, 1000000 + n / 100000, n % 100000, now() - interval '200 days' - n * interval '0.1 seconds', 451,
           'throttled', '451 4.7.1 Greylisted, please try again later', 'first' || n || '@learners.acme.example'
    FROM generate_series(1, {attempts}) n
    """,
    "VACUUM ANALYZE attempts_before",
    "CHECKPOINT",
)

_SENT = "SELECT count(*) FROM deliveries WHERE state = 'accepted'"

#: The longest time between two groups of mails that were settled in turn, in milliseconds.
_LONGEST = """
    SELECT coalesce(max(extract(epoch FROM gap)) * 1000, 0) FROM (
        SELECT settled_at - lag(settled_at) OVER (ORDER BY settled_at) AS gap FROM deliveries
        WHERE settled_at BETWEEN '{begun}' AND '{ended}') gaps
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: attempts that are dropped, and learners who are mailed meanwhile."""

    attempts: int
    learners: int
    rounds: int


def measure(system: System, size: Size) -> list[Ratio]:
    """Milliseconds: the longest pause between mails, and the transaction that drops, which unlinks files after it has
    given its locks back."""
    pauses: list[tuple[float, float]] = []
    drops: list[tuple[float, float]] = []
    for _ in range(size.rounds):
        with system.database("aging", size.learners) as database:
            for statement in (*_DIVIDE, *_AGE):
                database.execute(statement.format(attempts=size.attempts) if "{attempts}" in statement else statement)
            engine = make_engine(database.url, role="bench")
            with system.processes(database, INGRESS | RELAY | TASKS | MAIL):
                through_the_queue(system, database, "course")
                wait_until(lambda: database.value(_SENT) > size.learners // 20, "mail to be on its way")
                begun = database.value("SELECT now()")
                time.sleep(LOOKED_AT_SECONDS)
                between = database.value("SELECT now()")
                old, empty = _dropped(engine), _dropped(engine)
                time.sleep(LOOKED_AT_SECONDS)
                ended = database.value("SELECT now()")
            engine.dispose()
            drops.append((old, empty))
            pauses.append(
                (
                    float(database.value(_LONGEST.format(begun=between, ended=ended))),
                    float(database.value(_LONGEST.format(begun=begun, ended=between))),
                )
            )
    goal = Goal(MOST_MS, most=True, of_ratio=False)
    return [
        Ratio(
            f"longest pause between mails, {size.attempts:,} attempts being dropped",
            "the same before it",
            "ms",
            [ours for ours, _ in pauses],
            [theirs for _, theirs in pauses],
            goal=goal,
        ),
        Ratio(
            f"the transaction that drops {size.attempts:,} attempts",
            "the same of an empty month",
            "ms",
            [ours for ours, _ in drops],
            [theirs for _, theirs in drops],
            digits=1,
            goal=goal,
        ),
    ]


def _dropped(engine: Engine) -> float:
    """Drop the oldest partition as the relay does, however often somebody has a lock; milliseconds of the transaction
    that did."""
    while True:
        with autocommit(engine) as connection:
            oldest = retention.to_drop(retention.partitions(connection), datetime.now(UTC), 0)[0]
        begun = time.perf_counter()
        try:
            with transaction(engine) as connection:
                retention.drop(connection, oldest)
        except OperationalError as problem:
            if not is_locked(problem):
                raise
            continue
        return (time.perf_counter() - begun) * 1000
