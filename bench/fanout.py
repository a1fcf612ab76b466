"""A course for everyone: through the queue, and the same rows by one statement in psql; and for everyone who has it."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.figures import Goal, Ratio
from bench.system import INGRESS, RELAY, TASKS, Database, System, course_for_everyone
from config.settings import Settings

#: What a person with psql would write, who has no need to be careful: no look at what is there, nobody to wait for.
_ENROLMENTS = """
    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, notice, enrolled_at, activated_at)
    SELECT organisation, 1, 1, learner, standing = 'inactive', 1, CASE WHEN standing = 'active' THEN 1 END, now(),
           CASE WHEN standing = 'active' THEN now() END
    FROM learners WHERE organisation = 1 AND standing IN ('active', 'inactive')
"""
_NOTICES = """
    INSERT INTO deliveries (organisation, mailing, recipient, state, reason, settled_at)
    SELECT organisation, 1, learner, CAST(CASE WHEN email IS NULL THEN 'skipped' ELSE 'pending' END AS delivery_state),
           CASE WHEN email IS NULL THEN 'no address' END, CASE WHEN email IS NULL THEN now() END
    FROM learners WHERE organisation = 1 AND standing = 'active'
"""
_EVENTS = """
    INSERT INTO outbox (organisation, type, data)
    SELECT 1, 'rollcall.enrolment.changed', json_build_object(
        'course', 'course', 'cycle', 1, 'cause', 'rule',
        'enrolled', coalesce(json_agg(id) FILTER (WHERE standing = 'active'), '[]'),
        'silent', coalesce(json_agg(id) FILTER (WHERE standing = 'inactive'), '[]'), 'withdrawn', CAST('[]' AS json))
    FROM learners WHERE organisation = 1 AND standing IN ('active', 'inactive') GROUP BY (learner - 1) / 5000
"""
#: Mails in a piece of work, and learners in a chunk of whom 94 in a hundred are told.
_PIECE, _CHUNK = (Settings.model_fields[f"rollcall_{name}"].default for name in ("mail_batch", "chunk"))
_WORK = f"""
    INSERT INTO work (organisation, queue, actor, subject, low, high)
    SELECT 1, 'mail', 'mail.deliver', 1, min(learner), max(learner)
    FROM learners WHERE organisation = 1 AND standing = 'active' AND email IS NOT NULL
    GROUP BY (learner - 1) / {_CHUNK}, (learner - 1) % {_CHUNK} / {_CHUNK * _PIECE // (_CHUNK * 94 // 100)}
"""
_ALL_ROWS = f"WITH enrolled AS ({_ENROLMENTS}), noticed AS ({_NOTICES}), told AS ({_EVENTS}) {_WORK};"
_TWO_TABLES = f"WITH enrolled AS ({_ENROLMENTS}) {_NOTICES};"

#: What a fan-out writes; emptied one by one, or it could deadlock with a relay that looks at several of them.
_WRITES = ("mailings", "fanouts", "work", "deliveries", "enrolments", "courses", "outbox")

#: Whether every event is on the stream.
PUBLISHED = "SELECT ordered = published AND NOT EXISTS (SELECT FROM outbox WHERE position IS NULL) FROM publication"

#: What both ways must have written alike.
_ENROLMENTS_WRITTEN = """
SELECT concat_ws(' ',
    (SELECT concat_ws(' ', count(*), sum(learner), count(*) FILTER (WHERE silent), count(notice), count(activated_at))
     FROM enrolments),
    (SELECT concat_ws(' ', count(*), sum(recipient), count(*) FILTER (WHERE state = 'pending'), count(reason),
                      count(settled_at)) FROM deliveries))
"""
_ALL_WRITTEN = f"""
{_ENROLMENTS_WRITTEN.rstrip()[:-1]},
    (SELECT concat_ws(' ', count(*), sum(json_array_length(data -> 'enrolled')),
                      sum(json_array_length(data -> 'silent'))) FROM outbox),
    (SELECT concat_ws(' ', count(*), min(low), max(high)) FROM work))
"""


_FINISHED = "SELECT count(*) = 1 AND bool_and(finished_at IS NOT NULL) FROM fanouts"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    learners: int
    rounds: int


def measure(system: System, size: Size) -> list[Ratio]:
    """Learners a second through the queue, beside one statement in psql, in alternating rounds; then the same course's
    method changed, with nothing to do."""
    rows = size.learners
    queued: list[float] = []
    every: list[float] = []
    two: list[float] = []
    looked: list[float] = []
    with (
        system.database("queue", rows) as database,
        system.database("psql", rows) as other,
        system.processes(database, INGRESS | RELAY | TASKS),
    ):

        def queue(turn: int) -> None:
            queued.append(through_the_queue(system, database, f"course-{turn}"))
            ours = database.value(_ALL_WRITTEN)
            looked.append(_nothing_to_do(system, database, f"course-{turn}"))
            _same(ours, alike)

        def all_rows(_: int) -> None:
            every.append(_one_statement(system, other, _ALL_ROWS))

        def two_tables(_: int) -> None:
            two.append(_one_statement(system, other, _TWO_TABLES))

        all_rows(0)
        alike = other.value(_ALL_WRITTEN)
        two_tables(0)
        _same(alike.split(" ")[:10], other.value(_ENROLMENTS_WRITTEN).split(" "))
        ways: list[Callable[[int], None]] = [queue, all_rows, two_tables]
        queue(0)
        for turn in range(1, size.rounds + 1):  # what was done before was to warm up
            for way in ways if turn % 2 else reversed(ways):
                way(turn)
    return [
        Ratio(
            f"everyone, {rows:,} learners: XADD to finished",
            "the same rows (enrolments, notices, events, work) by one statement in psql",
            "learners/s",
            [rows / seconds for seconds in queued[1:]],
            [rows / seconds for seconds in every[1:]],
            goal=Goal(1.1),
        ),
        Ratio(
            f"everyone, {rows:,} learners: again the first line",
            "the enrolments and notices alone by one statement in psql",
            "learners/s",
            [rows / seconds for seconds in queued[1:]],
            [rows / seconds for seconds in two[1:]],
        ),
        Ratio(
            f"method changed, {rows:,} enrolled already: XADD to finished",
            "enrolling them, above",
            "s",
            looked[1:],
            queued[1:],
            digits=2,
            goal=Goal(0.1, most=True),
        ),
    ]


def through_the_queue(system: System, database: Database, course: str) -> float:
    """Seconds from the event on the stream until the fan-out is finished."""
    prepare(database)
    return _fan_out(system, database, course)


def _fan_out(system: System, database: Database, course: str) -> float:
    begun = time.perf_counter()
    system.publish([course_for_everyone(course)])
    database.wait_for(_FINISHED)
    return time.perf_counter() - begun


def _nothing_to_do(system: System, database: Database, course: str) -> float:
    """Seconds for a method that changes, where everybody is enrolled already, until the fan-out is finished."""
    enrolled = database.value(_ENROLMENTS_WRITTEN)
    database.execute("UPDATE courses SET method = 'manual'")
    database.execute("UPDATE course_rules SET method = 'manual'")
    database.execute("TRUNCATE fanouts")
    seconds = _fan_out(system, database, course)
    _same(database.value(_ENROLMENTS_WRITTEN), enrolled)
    return seconds


def _one_statement(system: System, database: Database, statement: str) -> float:
    """Seconds that psql says one statement took, its commit included."""
    _empty(database)
    done = subprocess.run(
        [system.psql, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", database.url],
        input=f"\\timing on\n{statement}",
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split("Time:")[1].split()[0]) / 1000


def finished(database: Database) -> bool:
    """Whether the one fan-out there is has finished."""
    return bool(database.value(_FINISHED))


def prepare(database: Database) -> None:
    """Begin anew: as if nobody was ever enrolled."""
    database.wait_for(PUBLISHED)
    _empty(database)


def _empty(database: Database) -> None:
    for table in _WRITES:
        database.execute(f"TRUNCATE {table}")
    database.execute("CHECKPOINT")


def _same(ours: object, theirs: object) -> None:
    if ours != theirs:
        raise RuntimeError(f"the two ways did not write the same rows: {ours} through the queue, {theirs} in psql")
