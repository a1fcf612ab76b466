"""A server that greylists: how long a mailing takes beside the server's own delay, in real time."""

from collections import Counter
from functools import partial

from bench.figures import Goal, Ratio
from bench.mail.report import Measured, Report, nothing_wrong
from bench.mail.rollcall import Letter, rollcall, senders
from bench.mail.sink import Manners, RecordingSink, recording
from bench.mail.source import Size, described, learners_for
from bench.system import System

#: Seconds that the server wants to pass between a recipient's first try and one that it takes; and in a quick look.
DELAY, QUICK_DELAY = 60.0, 10.0

#: Per cent of the recipients, all of one domain, who are greylisted.
PERCENT = (10.0, 100.0)

#: What it may take of the delay, and the seconds that a tenth of 3,000 may take.
MOST = 2.0


def measure(system: System, letter: Letter, size: Size, delay: float) -> Report:
    """Seconds from launched to finished by the server's delay, for a part of the recipients and for all."""
    measured: list[Measured] = []
    for percent in PERCENT:
        runs = []
        for _ in range(size.rounds):
            manners = Manners(defer=percent, greylist=delay)
            with (
                recording(system.home, manners=manners) as sink,
                system.database("greylisting", learners_for(size.mails)) as database,
                rollcall(system, database, sink.port, senders(size.bulk, size.threads)) as running,
            ):
                runs.append(running.send("letter", partial(_recipients, sink)))
        setting = (
            f"{percent:g} % of the recipients, all of one domain, are answered 451 4.7.1 Try again later for {delay:g} "
            f"s from their first RCPT on; {described(size, letter)}"
        )
        measured.append(Measured(f"Rollcall, {percent:g} % greylisted", setting, runs))
    return Report(
        "A server that greylists",
        measured,
        [
            Ratio(
                f"{one.name}: seconds",
                "the server's delay",
                "s",
                [run.seconds for run in one.runs],
                [delay] * len(one.runs),
                digits=1,
                goal=Goal(MOST, most=True),
            )
            for one in measured
        ],
        nothing_wrong(measured),
    )


def _recipients(sink: RecordingSink) -> Counter[str]:
    sink.settle()
    return Counter(taken.recipient for taken in sink.taken())
