"""`python -m bench.mail`: how fast Rollcall mails, beside what others mail with, on the same machine and sink."""

import argparse
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from bench.mail import deferred, during, greylisting, limits, memory, peer, source
from bench.mail.postfix import Postfix, Unavailable, postfix
from bench.mail.report import Report, out
from bench.mail.rollcall import Letter, letter
from bench.system import System, system
from workers.supervisor import USUAL


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for; None where it leaves it to the measurement."""

    quick: bool
    whole: bool
    mails: int | None
    rounds: int | None
    bulk: int
    threads: int

    def size(self, usual: int, quick: int, rounds: int, *, whole: int | None = None) -> source.Size:
        """How much of a measurement to make."""
        mails = self.mails or (quick if self.quick else (whole or usual) if self.whole else usual)
        return source.Size(mails, self.rounds or (1 if self.quick else rounds), self.bulk, self.threads)


@dataclass(frozen=True, slots=True)
class On:
    """What everything is measured on."""

    system: System
    postfix: Postfix
    letter: Letter


Part = Callable[[On, Asked], Report]

PARTS: dict[str, Part] = {
    "source": lambda on, asked: source.measure(on.system, on.postfix, on.letter, asked.size(50_000, 5_000, 5)),
    "peers": lambda on, asked: peer.measure(
        on.system, on.postfix, on.letter, asked.size(20_000, 2_000, 3), peer.TRIAL if asked.quick else peer.MAILS
    ),
    "deferred": lambda on, asked: deferred.measure(on.system, on.letter, asked.size(50_000, 5_000, 3)),
    "limits": lambda on, asked: limits.measure(on.system, on.letter, asked.size(3_000, 1_000, 3)),
    "greylisting": lambda on, asked: greylisting.measure(
        on.system,
        on.letter,
        asked.size(3_000, 500, 1),
        greylisting.QUICK_DELAY if asked.quick else greylisting.DELAY,
    ),
    "during": lambda on, asked: during.measure(on.system, asked.size(100_000, 20_000, 1, whole=500_000)),
    "memory": lambda on, asked: memory.measure(on.system, on.postfix, asked.size(100_000, 20_000, 1, whole=1_000_000)),
}


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print; exit code 1 where something asked for is not reached, unless cut short."""
    parser = argparse.ArgumentParser(prog="python -m bench.mail", description=__doc__)
    parser.add_argument("part", nargs="*", help=f"which of {', '.join(PARTS)}; all unless named")
    parser.add_argument("--quick", action="store_true", help="less of everything: to see that it runs, not for figures")
    parser.add_argument("--whole", action="store_true", help="the audiences that take long, too: up to a million")
    parser.add_argument("--mails", type=int, help="mails of a round")
    parser.add_argument("--rounds", type=int, help="how often each is measured")
    parser.add_argument(
        "--bulk", type=int, default=USUAL["bulk"], help="processes of Rollcall's that send (default: as `up` runs)"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of each (default: 1, as in the Procfile)")
    given = parser.parse_args(words)
    if unknown := sorted(set(given.part) - PARTS.keys()):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(PARTS)}")
    asked = Asked(given.quick, given.whole, given.mails, given.rounds, given.bulk, given.threads)
    begun = time.monotonic()
    missed = False
    try:
        programs = postfix()
        with system() as servers:
            out.print(_machine(servers))
            if asked.quick:
                out.print("[bold]Cut short: this shows that it runs; the figures mean little.[/bold]")
            on = On(servers, programs, letter(servers))
            for name in given.part or PARTS:
                report = PARTS[name](on, asked)
                report.show()
                missed |= report.missed
    except Unavailable as problem:
        raise SystemExit(str(problem)) from None
    out.print(f"[dim]took {time.monotonic() - begun:.0f} s[/dim]")
    raise SystemExit(1 if missed and not asked.quick else 0)


def _machine(servers: System) -> str:
    """What all this was measured on."""
    memory_gb = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory_gb:.0f} GB, Python {platform.python_version()}; "
        f"embedded PostgreSQL {servers.setting('server_version')}, {'durable' if servers.durable else 'not durable'}, "
        f"and Valkey, all on this machine, the sink too; load {os.getloadavg()[0]:.1f} before the start.\n"
        "Medians (least–most) of alternating rounds; × is of the same round. Lost and doubled: by recipients at the "
        "sink. CPU: every process of the system, its PostgreSQL and Valkey included, the sink apart."
    )


if __name__ == "__main__":
    main()
