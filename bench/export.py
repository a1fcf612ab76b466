"""The training report as a process, beside a bare COPY of the same query in psql, and its memory."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from psycopg.sql import SQL

from bench.figures import Goal, Ratio
from bench.system import NUMBER, ORGANISATION, Database, System, peak_megabytes
from tasks.reports import TRAINING, Format, Tab

#: One course for everyone; of ten enrolments three started, two completed, one withdrawn, one held by a request too; a
#: hundred segments, of which each learner is in up to three; a notice for each who has an address.
_FILL = """
    INSERT INTO segments (organisation, id, name, saved_at)
    SELECT 1, 'segment-' || n, 'Segment ' || n, now() FROM generate_series(1, 100) AS n;

    INSERT INTO memberships (organisation, segment, learner, member, since)
    SELECT DISTINCT 1, 1 + (learner * 79 + n * 31) % 100, learner, true, now()
    FROM learners, generate_series(1, learner % 4) AS n;

    INSERT INTO courses (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
    VALUES (1, 'fire-safety', 'Fire safety at work', 1, false, 'everyone', now(), now());

    INSERT INTO fanouts (organisation, courses, cycle, cause, request, occurred_at)
    SELECT 1, '{1}', 1, 'request', gen_random_uuid(), now() FROM generate_series(1, 100);

    INSERT INTO mailings (organisation, kind, id, state, policy)
    VALUES (1, 'enrolment', 'notice', 'finished', 'resend');

    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, notice, enrolled_at, activated_at,
                            started_at, completed_at, withdrawn_at, requests, result)
    SELECT 1, 1, 1, learner, standing = 'inactive', 1, CASE WHEN standing = 'active' THEN 1 END, now(),
           CASE WHEN standing = 'active' THEN now() END, CASE WHEN learner % 10 < 3 THEN now() END,
           CASE WHEN learner % 10 < 2 THEN now() END, CASE WHEN learner % 10 = 4 THEN now() END,
           CASE WHEN learner % 10 = 5 THEN ARRAY[1 + learner % 100] END,
           CASE WHEN learner % 10 < 2 THEN 'passed' END
    FROM learners;

    INSERT INTO deliveries (organisation, mailing, recipient, state, attempts, code, settled_at, reason)
    SELECT 1, 1, learner, CAST(CASE WHEN email IS NULL THEN 'skipped' ELSE 'accepted' END AS delivery_state), 1, 250,
           now(), CASE WHEN email IS NULL THEN 'no address' END
    FROM learners WHERE standing = 'active';
"""

#: What the tables say as they are: no segments, no sources, no access, in any order.
_PLAIN = """
    SELECT l.id, l.username, l.email, l.standing, c.id, c.title, e.cycle, e.enrolled_at, e.silent, e.activated_at,
           d.settled_at, e.started_at, e.completed_at, e.result, e.withdrawn_at
    FROM enrolments e
    JOIN learners l USING (organisation, learner)
    JOIN courses c USING (organisation, course)
    LEFT JOIN deliveries d ON d.organisation = e.organisation AND d.mailing = e.notice AND d.recipient = e.learner
        AND d.state = 'accepted'
    WHERE e.organisation = 1 AND l.standing = 'active'
"""

#: As the summary counts: every enrolment, with its learner.
_COUNTED = """
    SELECT count(*) FROM enrolments e JOIN learners l USING (organisation, learner)
    WHERE e.organisation = 1 AND l.standing = 'active'
"""

#: Seconds between two looks at a process's memory.
_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: learners, each with one enrolment, of whom 94 in a hundred are active."""

    learners: int
    rounds: int


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of a process to its end."""

    seconds: float
    peak: float


def measure(system: System, size: Size) -> list[Ratio]:
    """Rows a second of both formats beside the same query, and a plain one; the summary; peaks in MB."""
    ways = [*Format, "same", "plain", "summary", "count", "few"]
    runs: dict[str, list[_Run]] = {way: [] for way in ways}
    with _filled(system, "export", size.learners) as database, _filled(system, "few", size.learners // 20) as few:
        rows = int(database.value(_COUNTED))
        query = TRAINING.query(NUMBER, Tab.ACTIVE).as_string()
        commands: dict[str, Sequence[str | os.PathLike[str]]] = {
            **{way: _rollcall("training", "--format", way) for way in Format},
            "same": _copy(system, database, query),
            "plain": _copy(system, database, _PLAIN),
            "summary": _rollcall("summary"),
            "count": _psql(system, database, _COUNTED),
            "few": _rollcall("training", "--format", Format.JSONL),
        }
        for turn in range(size.rounds + 1):  # the first is to warm up
            for way in ways if turn % 2 else reversed(ways):
                runs[way].append(_run(system, few if way == "few" else database, commands[way]))
    seconds = {way: [run.seconds for run in found[1:]] for way, found in runs.items()}
    rate = {way: [rows / one for one in found] for way, found in seconds.items()}
    named = {way: f"training report, {rows:,} rows as {way}: the whole process" for way in Format}
    plain = "COPY of a plain join in psql: no segments, sources, access or order"
    return [
        *(
            Ratio(
                named[way], "COPY (the same query) TO STDOUT in psql", "rows/s", rate[way], rate["same"], goal=Goal(0.5)
            )
            for way in Format
        ),
        *(Ratio(named[way], plain, "rows/s", rate[way], rate["plain"]) for way in Format),
        Ratio(
            f"summary of {rows:,} enrolments: the whole process",
            "a bare count(*) of them and their learners in psql",
            "s",
            seconds["summary"],
            seconds["count"],
            digits=2,
        ),
        Ratio(
            f"peak memory of the export, {size.learners:,} learners",
            f"the same, {size.learners // 20:,} learners",
            "MB",
            [run.peak for run in runs[Format.JSONL][1:]],
            [run.peak for run in runs["few"][1:]],
        ),
    ]


@contextmanager
def _filled(system: System, name: str, learners: int) -> Iterator[Database]:
    """A database with an enrolment for each of so many learners."""
    with system.database(name, learners) as database:
        database.execute(_FILL)
        database.execute("VACUUM ANALYZE")
        database.execute("CHECKPOINT")
        yield database


def _rollcall(*words: str) -> list[str]:
    return [sys.executable, "-m", "workers.cli", "reports", *words, "--organisation", ORGANISATION]


def _psql(system: System, database: Database, query: str) -> list[str | os.PathLike[str]]:
    return [system.psql, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", database.url, "--command", query]


def _copy(system: System, database: Database, query: str) -> list[str | os.PathLike[str]]:
    return _psql(system, database, SQL("COPY ({}) TO STDOUT").format(SQL(query)).as_string())


def _run(system: System, database: Database, command: Sequence[str | os.PathLike[str]]) -> _Run:
    """A command with its output thrown away. Raises CalledProcessError."""
    environment = {key: text for key, text in os.environ.items() if key not in {"REDIS_URL", "SMTP_URL"}}
    environment |= {"ROLLCALL_HOME": str(system.home), "DATABASE_URL": database.url}
    peak = 0.0
    begun = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with suppress(OSError, KeyError):  # it may just have ended
                peak = max(peak, peak_megabytes(process.pid))
            time.sleep(_LOOK_SECONDS)
        took = time.perf_counter() - begun
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return _Run(took, peak)
