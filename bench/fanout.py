"""A course for everyone: through the queue, and the same rows by one statement in psql."""

import subprocess
import time
from dataclasses import dataclass

from bench.figures import Ratio
from bench.system import INGRESS, RELAY, TASKS, Database, System, course_for_everyone

#: What a person with psql would write, who has no need to be careful: no check of what is there, no events, no work.
_ONE_STATEMENT = """
WITH enrolled AS (
    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, notice, enrolled_at, activated_at)
    SELECT organisation, 1, 1, learner, standing = 'inactive', 1, CASE WHEN standing = 'active' THEN 1 END, now(),
           CASE WHEN standing = 'active' THEN now() END
    FROM learners WHERE organisation = 1 AND standing IN ('active', 'inactive')
)
INSERT INTO deliveries (organisation, mailing, recipient, state, reason, settled_at)
SELECT organisation, 1, learner, CAST(CASE WHEN email IS NULL THEN 'skipped' ELSE 'pending' END AS delivery_state),
       CASE WHEN email IS NULL THEN 'no address' END, CASE WHEN email IS NULL THEN now() END
FROM learners WHERE organisation = 1 AND standing = 'active';
"""

#: What a fan-out writes; emptied one by one, or it could deadlock with a relay that looks at several of them.
_WRITES = ("mailings", "fanouts", "work", "deliveries", "enrolments", "courses")

#: What both ways must have written alike.
_WRITTEN = """
SELECT concat_ws(' ',
    (SELECT concat_ws(' ', count(*), sum(learner), count(*) FILTER (WHERE silent), count(notice), count(activated_at))
     FROM enrolments),
    (SELECT concat_ws(' ', count(*), sum(recipient), count(*) FILTER (WHERE state = 'pending'), count(reason),
                      count(settled_at)) FROM deliveries))
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    learners: int
    rounds: int


def measure(system: System, size: Size) -> list[Ratio]:
    """Learners a second through the queue, beside one statement in psql, in alternating rounds."""
    queued, plain = [], []
    with (
        system.database("queue", size.learners) as database,
        system.database("psql", size.learners) as other,
        system.processes(database, INGRESS | RELAY | TASKS),
    ):
        for turn in range(size.rounds + 1):  # the first is to warm up
            for queue in (True, False) if turn % 2 else (False, True):
                if queue:
                    queued.append(through_the_queue(system, database, f"course-{turn}"))
                else:
                    plain.append(_one_statement(system, other))
            _same_rows(database, other)
    rows = size.learners
    return [
        Ratio(
            f"everyone, {rows:,} learners: XADD to finished",
            "the same rows by one statement in psql",
            "learners/s",
            [rows / seconds for seconds in queued[1:]],
            [rows / seconds for seconds in plain[1:]],
            wanted=0.6,
        )
    ]


def through_the_queue(system: System, database: Database, course: str) -> float:
    """Seconds from the event on the stream until the fan-out is finished."""
    _prepare(database)
    begun = time.perf_counter()
    system.publish([course_for_everyone(course)])
    database.wait_for("SELECT count(*) = 1 AND bool_and(finished_at IS NOT NULL) FROM fanouts")
    return time.perf_counter() - begun


def _one_statement(system: System, database: Database) -> float:
    """Seconds that psql says one statement took, its commit included."""
    _prepare(database)
    done = subprocess.run(
        [system.psql, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", database.url],
        input=f"\\timing on\n{_ONE_STATEMENT}",
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split("Time:")[1].split()[0]) / 1000


def _prepare(database: Database) -> None:
    for table in _WRITES:
        database.execute(f"TRUNCATE {table}")
    database.execute("CHECKPOINT")


def _same_rows(database: Database, other: Database) -> None:
    ours, theirs = database.value(_WRITTEN), other.value(_WRITTEN)
    if ours != theirs:
        raise RuntimeError(f"the two ways did not write the same rows: {ours} through the queue, {theirs} in psql")
