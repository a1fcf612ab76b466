"""The most memory a process that sends ever had, for a small audience and for a large one, at full speed."""

from bench.figures import Goal, Ratio
from bench.mail.postfix import Postfix
from bench.mail.report import Check, Report
from bench.mail.rollcall import Run, rollcall, senders
from bench.mail.source import Size, learners_for
from bench.system import System

#: MB that a process of ours may ever have, and by how much a peak may grow and still be flat.
MOST = 150
FLAT = 1.15

#: The small audience.
FEW = 10_000


def measure(system: System, postfix: Postfix, size: Size) -> Report:
    """Peaks in MB, of processes started for each audience; into smtp-sink."""
    small: list[Run] = []
    large: list[Run] = []
    for turn in range(size.rounds):
        for mails in (FEW, size.mails) if turn % 2 == 0 else (size.mails, FEW):
            (large if mails > FEW else small).append(_run(system, postfix, size, mails))
    ratios = [
        Ratio(
            f"peak memory of {name}, an audience of {size.mails:,}",
            f"of {FEW:,}",
            "MB",
            [run.used.peak[name] for run in large],
            [run.used.peak[name] for run in small],
            goal=Goal(MOST, most=True, of_ratio=False),
        )
        for name in senders(size.bulk, size.threads)
    ]
    flat = [Check(f"{ratio.what}: flat, at most × {FLAT:g}", max(ratio.ratios) <= FLAT) for ratio in ratios]
    whole = Check("nothing lost, nothing doubled", not any(run.lost or run.doubled for run in (*small, *large)))
    return Report("Memory", ratios=ratios, checks=[*flat, whole])


def _run(system: System, postfix: Postfix, size: Size, mails: int) -> Run:
    with (
        postfix.listening(system.home) as sink,
        system.database("memory", learners_for(mails)) as database,
        rollcall(system, database, sink.port, senders(size.bulk, size.threads)) as running,
    ):
        return running.send("letter", sink.recipients)
