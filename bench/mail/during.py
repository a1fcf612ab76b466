"""What somebody waits for while a large announcement is on its way: a notice, and a neighbour's small mailing."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from statistics import median

from bench.figures import Goal, Ratio, percentile
from bench.mail.letter import SUBJECT
from bench.mail.report import Check, Report
from bench.mail.rollcall import rollcall, senders
from bench.mail.sink import RecordingSink, recording
from bench.mail.source import Size, learners_for, warm
from bench.system import INGRESS, MAIL, System, event, id_of

#: Milliseconds from a request on the stream to the notice at the sink, at the 99th percentile.
NOTICE_MOST = 1000

#: Seconds from a small mailing's request to its last mail at the sink: two, the turn of whoever is at work, and one of
#: its own.
SMALL_MOST = 3.0

#: Notices there must be for a 99th percentile to mean anything.
SAMPLES = 100

#: Notices beforehand, with nobody else at work, and the seconds between two, then and later.
_ALONE = 100
_BETWEEN_SECONDS = 0.1

#: Every how many notices a small mailing is asked for, and how many it reaches.
_SMALL_EVERY = 20
_SMALL = 10

_NEIGHBOUR = "small"
COURSE = """
    INSERT INTO courses (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
    VALUES (1, 'course', 'Course', 1, false, 'manual', now(), now())
"""
_NEIGHBOURS = f"""
    INSERT INTO organisations (id, name, licence, admin_emails, reactivation_digest, saved_at, learners)
    VALUES ('{_NEIGHBOUR}', 'Small School', 'credits', '{{}}', false, now(), {_SMALL});
    INSERT INTO learners (organisation, learner, id, standing, version, saved_version, saved_at, username, email,
                          first_name, last_name, locale, time_zone)
    SELECT organisation, n, 'S' || n, 'active', 1, 1, now(), 'user' || n, 's' || n || '@small.example', 'First' || n,
           'Last', 'en', 'Europe/Amsterdam'
    FROM organisations, generate_series(1, {_SMALL}) AS n WHERE id = '{_NEIGHBOUR}'
"""
AT_REST = """
    SELECT NOT EXISTS (SELECT FROM work WHERE state <> 'held')
       AND NOT EXISTS (SELECT FROM mailings WHERE state = 'sending')
"""


@dataclass
class Asked:
    """What was asked for, and when (Unix time): notices by their recipient, small mailings by their id."""

    system: System
    name: str
    learners: Iterator[int]
    notices: dict[str, float] = field(default_factory=dict)
    small: dict[str, float] = field(default_factory=dict)

    def notice(self) -> None:
        """Somebody is enrolled in a course and is to be told."""
        learner = next(self.learners)
        request: dict[str, object] = {"request": f"r{learner}", "course": "course", "tab": "active"}
        self.notices[f"first{learner}.last{learner % 977}@learners.acme.example"] = time.time()
        self.system.publish([event("enrolment.requested", request | {"learners": [id_of(learner)]})])

    def mailing(self) -> None:
        """The small organisation announces something to everybody it has."""
        id_ = f"{self.name}-{len(self.small)}"
        said: dict[str, object] = {"announcement": id_, "subject": SUBJECT, "body": "Hello {{ first_name }}."}
        self.small[id_] = time.time()
        self.system.publish([event("announcement.requested", said | {"audience": {"everyone": True}}, _NEIGHBOUR)])

    def both(self) -> None:
        """A notice, and now and then a small mailing."""
        if len(self.notices) % _SMALL_EVERY == 0:
            self.mailing()
        self.notice()

    def waited(self, sink: RecordingSink) -> "Waited":
        """How long each took, by what is at the sink."""
        sink.settle()
        notices: list[float] = []
        small: dict[str, list[float]] = {}
        for taken in sink.taken():
            if taken.kind == "enrolment" and taken.recipient in self.notices:
                notices.append((taken.at - self.notices[taken.recipient]) * 1000)
            elif taken.mailing in self.small:
                small.setdefault(taken.mailing, []).append(taken.at - self.small[taken.mailing])
        whole = [max(times) for times in small.values() if len(times) == _SMALL]
        all_there = len(notices) == len(self.notices) and len(whole) == len(self.small)
        return Waited(notices, whole, all_there)


@dataclass(frozen=True, slots=True)
class Waited:
    """Milliseconds until each notice was at the sink, seconds until the last mail of each small mailing was, and
    whether everything that was asked for is there."""

    notices: list[float]
    small: list[float]
    all_there: bool


def measure(system: System, size: Size) -> Report:
    """How long notices and small mailings take, alone and during a large announcement."""
    commands = INGRESS | senders(size.bulk, size.threads) | MAIL
    with recording(system.home) as sink, system.database("during", learners_for(size.mails)) as database:
        database.execute(COURSE)
        database.execute(_NEIGHBOURS)
        with rollcall(system, database, sink.port, commands) as running:
            warm(running)
            learners = (n for n in count(1) if n % 50 > 2 and n % 25 != 7)
            before, meanwhile = Asked(system, "alone", learners), Asked(system, "during", learners)
            for _ in range(_ALONE):
                before.both()
                time.sleep(_BETWEEN_SECONDS)
            database.wait_for(AT_REST)
            running.announce("large")
            rate = size.mails / running.finish("large", meanwhile.both, _BETWEEN_SECONDS)
            database.wait_for(AT_REST)
            alone, during = before.waited(sink), meanwhile.waited(sink)
    what = f"during an announcement to {size.mails:,} ({rate:,.0f}/s)"
    notice = f"notice {what}: XADD to the sink"
    small = f"{_SMALL} mails of a neighbour {what}: XADD to the last"
    return Report(
        "What somebody waits for during a large announcement",
        ratios=[
            _compared(f"{notice}, p50", "ms", lambda waited: percentile(waited.notices, 50), during, alone),
            _compared(
                f"{notice}, p99", "ms", lambda waited: percentile(waited.notices, 99), during, alone, NOTICE_MOST
            ),
            _compared(f"{small}, median", "s", lambda waited: median(waited.small), during, alone),
            _compared(f"{small}, worst", "s", lambda waited: max(waited.small), during, alone, SMALL_MOST),
        ],
        checks=[
            Check(
                f"{len(during.notices)} notices and {len(during.small)} small mailings meanwhile, all at the sink; at "
                f"least {SAMPLES} notices",
                during.all_there and len(during.notices) >= SAMPLES,
            ),
            Check("all of those before are at the sink, too", alone.all_there),
        ],
    )


def _compared(
    what: str, unit: str, of: Callable[[Waited], float], during: Waited, alone: Waited, most: float | None = None
) -> Ratio:
    goal = None if most is None else Goal(most, most=True, of_ratio=False)
    return Ratio(what, "alone", unit, [of(during)], [of(alone)], digits=2 if unit == "s" else 0, goal=goal)
