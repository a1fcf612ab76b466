"""`POST learners/{id}/activate` over HTTP, answered and in effect: with everybody idle, and beside a fan-out."""

import http.client
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.api import web
from bench.fanout import finished, prepare
from bench.figures import Goal, Ratio, percentile
from bench.system import INGRESS, ORGANISATION, RELAY, TASKS, Database, System, course_for_everyone, id_of
from tasks.accounts import Role

#: Seconds of rest before each request, so that it finds everybody idle; uneven, to fall on any moment of their pauses.
_RESTS = (0.003, 0.011, 0.006, 0.017, 0.008)

#: Courses that each of the learners gets back.
_COURSES = 3

#: Milliseconds that are asked for: at the median and at the 99th percentile when idle, and beside a fan-out.
P50, P99, BUSY_P99 = 15, 60, 250

#: Three in fifty are inactive (`bench.system`).
_FILL = f"""
    INSERT INTO courses (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
    SELECT 1, 'course-' || n, 'Course ' || n, 1, false, 'manual', now(), now() FROM generate_series(1, {_COURSES}) AS n;
    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at)
    SELECT 1, course, 1, learner, true, 1, now() FROM courses, learners WHERE standing = 'inactive';
    CREATE TABLE plain (learner int PRIMARY KEY, active boolean NOT NULL);
    INSERT INTO plain SELECT learner, false FROM learners WHERE standing = 'inactive';
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    learners: int
    activations: int
    rounds: int


def measure(system: System, size: Size) -> list[Ratio]:
    """Milliseconds at the median and the 99th percentile, beside a durable UPDATE of one row; and during fan-outs."""
    idle, plain, busy = [], [], []
    with (
        system.database("activating", size.learners) as database,
        system.processes(database, INGRESS | RELAY | TASKS),
        web(system, database, role=Role.ADMIN) as (port, token),
    ):
        database.execute(_FILL)
        database.execute("VACUUM ANALYZE")
        database.execute("CHECKPOINT")  # else what was filled in is written beside what is measured
        one = Activating(port, token)
        inactive = (n for n in itertools.count(1) if n % 50 < 3)
        for _ in range(10):
            one.activate(next(inactive))
        for turn in range(size.rounds):
            alone, updates = [], []
            for learner in itertools.islice(inactive, size.activations):
                time.sleep(_RESTS[learner % len(_RESTS)])
                alone.append(one.activate(learner))
                updates.append(_update(database, learner))
            prepare(database)
            system.publish([course_for_everyone(f"everyone-{turn}")])
            during = [one.activate(learner) for learner in _until_finished(database, inactive)]
            idle.append(alone)
            plain.append(updates)
            busy.append(during)
    what, against = "POST activate, answered", "one row updated and committed by psycopg"
    return [
        *(
            Ratio(
                f"{what}, p{percent}", f"{against}, p{percent}", "ms",
                [percentile(one, percent) for one in idle], [percentile(one, percent) for one in plain],
                digits=1, goal=Goal(bound, most=True, of_ratio=False),
            )
            for percent, bound in ((50, P50), (99, P99))
        ),
        Ratio(
            f"{what} during a fan-out over {size.learners:,}, p99", "the same, with nobody else at work, p99", "ms",
            [percentile(one, 99) for one in busy], [percentile(one, 99) for one in idle],
            digits=1, goal=Goal(BUSY_P99, most=True, of_ratio=False),
        ),
    ]  # fmt: skip


def _until_finished(database: Database, inactive: Iterator[int]) -> Iterator[int]:
    """Learners, one after the other, until the fan-out is done; one at least."""
    yield next(inactive)
    while not finished(database):
        yield next(inactive)


class Activating:
    """A connection on which learners are made active."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._headers = {"Authorization": f"Bearer {token}"}

    def activate(self, learner: int) -> float:
        """Milliseconds."""
        begun = time.perf_counter()
        path = f"/api/v1/organisations/{ORGANISATION}/learners/{id_of(learner)}/activate"
        self._connection.request("POST", path, headers=self._headers)
        with self._connection.getresponse() as response:
            body = response.read()
        took = (time.perf_counter() - begun) * 1000
        if response.status != 200 or b'"changed":true' not in body:
            raise RuntimeError(body.decode(errors="replace"))
        return took


def _update(database: Database, learner: int) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    database.execute(f"UPDATE plain SET active = true WHERE learner = {learner}")
    return (time.perf_counter() - begun) * 1000
