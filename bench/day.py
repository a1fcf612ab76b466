"""`python -m bench.day`: a day's load on real processes, and whether the advice of `rollcall pools advise` is enough.

The day is 480 times as short as a day and has a 480th of its load, so as much comes in a second as on a day: notices
all day long, two bursts of them, an announcement to a million at nine, and a mail server that is slow for three hours
of the afternoon, in which half a million more are mailed. First each pool has one process. Then the advice is asked,
and the day is repeated with as many processes as it says; again, until the target is held.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from bench.mail.during import COURSE
from bench.mail.letter import BODY, SUBJECT
from bench.mail.rollcall import mail_settings
from bench.mail.sink import Manners, RecordingSink, recording
from bench.system import INGRESS, RELAY, Commands, Database, System, event, id_of, system
from config.database import transaction
from config.engine import make_engine
from tasks import work
from workers.web.console.languages import Reading
from workers.web.console.plots import Series, line

#: By how much the day is shorter, and its load smaller; seconds of an hour of it.
SCALE = 480
HOUR = 3600 / SCALE

#: Seconds of the short day for which work may wait, and the most days that are tried.
TARGET, DAYS = 60.0, 4

#: Who is mailed at nine and at fifteen, and the mail server's seconds for a mail, as a rule and in the slow hours.
MILLION, HALF = 1_000_000 // SCALE, 500_000 // SCALE
TAKES, SLOW, SLOW_HOURS = 0.08, 0.4, (15, 18)

#: Notices in a second all day long, and at once at these hours.
STEADY, BURSTS = 1, {10: 200, 14: 500}

#: Small pieces, as there are a 480th of the mails, and two connections of each process: a mail server sets limits.
_SETTINGS = {
    "ROLLCALL_MAIL_BATCH": "50",
    "ROLLCALL_MAIL_GROUP": "50",
    "ROLLCALL_SMTP_CONNECTIONS": "2",
    "ROLLCALL_IN_FLIGHT": "32",
}

#: Seconds until all that was done is in a sample: processes store what they counted every ten, and one is taken each
#: minute.
_COUNTED_SECONDS = 75.0

_THREADS = {"tasks": 2, "mail": 2, "bulk": 1}

_DONE = """
    SELECT NOT EXISTS (SELECT FROM work WHERE state <> 'held')
       AND NOT EXISTS (SELECT FROM mailings WHERE state = 'sending')
"""

#: What the stylesheet of the console says of plots, for a picture that stands alone.
_LOOKS = """
    svg{background:#fff;color:#1c2733;font:13px sans-serif} path,line{fill:none;stroke:currentColor;stroke-width:2;
    vector-effect:non-scaling-stroke} .grid{color:#d5dce3;stroke-width:1} .axis{fill:#5a6875}
    .middle{text-anchor:middle} .last{text-anchor:end} .limit{color:#b3261e}
    .series-1{color:#9a6700} .series-2{color:#0b6bcb}
"""


@dataclass
class Day:
    """What was seen of a day: how long the oldest work of each pool had waited, second by second."""

    processes: Mapping[str, int]
    oldest: dict[str, list[float]] = field(default_factory=lambda: {pool: [] for pool in _THREADS})
    advice: dict[str, int] = field(default_factory=dict)

    @property
    def latest(self) -> dict[str, float]:
        """For how long the oldest work of each pool had waited at most."""
        return {pool: max(seconds, default=0.0) for pool, seconds in self.oldest.items()}

    def told(self) -> str:
        """In a line."""
        parts = (
            f"{pool}: {n} of {'1 thread' if _THREADS[pool] == 1 else f'{_THREADS[pool]} threads'},"
            f" {self.latest[pool]:.1f} s late at most, {self.advice[pool]} advised"
            for pool, n in self.processes.items()
        )
        return "; ".join(parts)


def live(on: System, processes: Mapping[str, int], hours: float = 24) -> Day:
    """A day with so many processes of each pool."""
    day = Day(dict(processes))
    commands: Commands = INGRESS | RELAY
    for pool, n in processes.items():
        words = ("pool", pool, "--threads", str(_THREADS[pool]))
        commands |= {f"{pool} {number}": words for number in range(1, n + 1)}
    manners = Manners(takes=TAKES, slow=SLOW)
    with recording(on.home, manners=manners) as sink, on.database("day", MILLION * 100 // 90) as database:
        database.execute(COURSE)
        settings = mail_settings(sink.port) | _SETTINGS
        engine = make_engine(database.url, role="bench")
        with on.processes(database, commands, settings):
            begun = time.monotonic()
            for second, acts in enumerate(_plan(on, sink, hours)):
                for act in acts:
                    act()
                time.sleep(max(0.0, begun + second + 1 - time.monotonic()))
                _look(engine, day)
            while not database.value(_DONE):
                time.sleep(1)
                _look(engine, day)
            time.sleep(_COUNTED_SECONDS)
            day.advice = _advice(on, database, settings)
        engine.dispose()
    return day


def _plan(on: System, sink: RecordingSink, hours: float) -> Iterator[list[Callable[[], None]]]:
    """What happens in each second."""
    learners = iter(range(1, MILLION + 1))
    hourly: dict[int, list[Callable[[], None]]] = {
        9: [lambda: _announce(on, "nine", MILLION)],
        15: [lambda: _announce(on, "fifteen", HALF)],
        SLOW_HOURS[0] - 1: [],
        **{hour: [lambda n=n: _notices(on, learners, n)] for hour, n in BURSTS.items()},  # type: ignore[misc]
    }
    hourly[SLOW_HOURS[0]] = [sink.change_pace, *hourly[15]]
    hourly[SLOW_HOURS[1]] = [sink.change_pace]
    for second in range(int(hours * HOUR)):
        acts: list[Callable[[], None]] = [lambda: _notices(on, learners, STEADY)]
        yield acts + (hourly.get(int(second // HOUR), []) if second % HOUR < 1 else [])


def _notices(on: System, learners: Iterator[int], n: int) -> None:
    """So many people are enrolled, each by a request of their own."""
    asked: list[bytes] = []
    for learner in (next(learners) for _ in range(n)):
        request: dict[str, object] = {"request": f"r{learner}", "course": "course", "tab": "active"}
        asked.append(event("enrolment.requested", request | {"learners": [id_of(learner)]}))
    on.publish(asked)


def _announce(on: System, id_: str, n: int) -> None:
    said: dict[str, object] = {"announcement": id_, "subject": SUBJECT, "body": BODY}
    on.publish(
        [event("announcement.requested", said | {"audience": {"learners": [id_of(one + 1) for one in range(n)]}})]
    )


def _look(engine: Engine, day: Day) -> None:
    with transaction(engine) as connection:
        waits = {load.queue: load.oldest_due_seconds or 0.0 for load in work.loads(connection)}
    for pool, seen in day.oldest.items():
        seen.append(waits.get(pool, 0.0))


def _advice(on: System, database: Database, settings: Mapping[str, str]) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", "pools", "advise", "--hours", "1", "--target", f"{TARGET:g}", "--json"],
        env=on.environment(database, settings),
        stdout=subprocess.PIPE,
        check=True,
    )
    found: Any = json.loads(done.stdout)
    return {one["pool"]: one["processes"] for one in found}


def picture(pool: str, days: Sequence[Day]) -> str:
    """How long the oldest work of a pool had waited, on the first day and on the last, as an SVG that stands alone."""
    first, last = days[0], days[-1]
    seconds = range(max(len(day.oldest[pool]) for day in (first, last)))
    labels = [f"{int(second / HOUR):02}:{int(second / HOUR * 60 % 60):02}" for second in seconds]

    def drawn(day: Day, which: str) -> Series:
        known = day.oldest[pool]
        n = day.processes[pool]
        told = f"{which} day, {n} process{'es' if n > 1 else ''}"
        return Series(told, [*known, *[0.0] * (len(seconds) - len(known))])

    shown = [drawn(first, "first"), drawn(last, "last"), Series("target", [TARGET] * len(seconds), "limit")]
    title = f"Seconds that the oldest work of {pool} has waited"
    found = re.search(
        r'<svg role="img".*?</svg>(?=<details>)', line(Reading("en"), title, "Time", labels, shown), re.DOTALL
    )
    assert found is not None  # noqa: S101 - a plot has one
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{title}" width="760" height="250">'
    looks = [one.look if one.look != "plain" else f"series-{n}" for n, one in enumerate(shown, 1)]
    legend = "".join(
        f'<line class="{look}" x1="{x}" x2="{x + 30}" y1="236" y2="236"/><text x="{x + 38}" y="240">{one.name}</text>'
        for x, look, one in zip(range(10, 800, 240), looks, shown, strict=False)
    )
    inside = re.sub(r"<rect class=\"strip\".*?</rect>", "", re.sub(r"^<svg[^>]*>|</svg>$", "", found[0]))
    inner = f'<svg width="760" height="220">{inside}</svg>'
    return f"{head}<title>{title}</title><style>{' '.join(_LOOKS.split())}</style>{inner}{legend}</svg>\n"


def main() -> None:
    """Live days until the advice holds its target; exit code 1 if it does not."""
    parser = argparse.ArgumentParser(prog="python -m bench.day", description=__doc__)
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="write the plots there")
    parser.add_argument("--hours", type=float, default=24, help="the first hours of the day alone, to see that it runs")
    arguments = parser.parse_args()
    processes, days = dict.fromkeys(_THREADS, 1), list[Day]()
    with system() as on:
        while not days or (max(days[-1].latest.values()) > TARGET and len(days) < DAYS):
            days.append(live(on, processes, arguments.hours))
            processes = days[-1].advice
            print(f"day {len(days)}: {days[-1].told()}", flush=True)  # noqa: T201
    if arguments.plots:
        for pool in ("mail", "bulk"):
            (arguments.plots / f"{pool}.svg").write_text(picture(pool, days), encoding="utf-8")
    raise SystemExit(max(days[-1].latest.values()) > TARGET)


if __name__ == "__main__":
    main()
