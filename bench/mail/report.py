"""What was measured, as a person reads it: a line for each system, what it used, and whether a goal is reached."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.figures import Goal, Ratio, spread
from bench.mail.rollcall import Run

#: Columns a line needs, also where the output is no terminal.
WIDTH = 150

out = Console(highlight=False, width=WIDTH)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one system did, round by round, and how it was set up."""

    name: str
    setting: str
    runs: Sequence[Run]

    @property
    def rates(self) -> list[float]:
        """Messages a second, of each round."""
        return [run.rate for run in self.runs]


@dataclass(frozen=True, slots=True)
class Check:
    """Something that is so or is not."""

    what: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What one part of the measurements shows."""

    title: str
    systems: Sequence[Measured] = ()
    ratios: Sequence[Ratio] = ()
    checks: Sequence[Check] = field(default=())

    @property
    def missed(self) -> bool:
        """Whether something asked for is not reached."""
        wanting = any(ratio.goal is not None and not ratio.goal.reached_by(ratio) for ratio in self.ratios)
        return wanting or not all(check.holds for check in self.checks)

    def show(self) -> None:
        """Print it."""
        out.print(f"\n[bold]{escape(self.title)}[/bold]")
        if self.systems:
            out.print(_table(self.systems))
        for system in self.systems:
            out.print(f"  [dim]{escape(system.name)}: {escape(system.setting)}[/dim]", soft_wrap=True)
        for system in self.systems:
            out.print(f"  [dim]{escape(system.name)}, {_parts(system.runs)}[/dim]", soft_wrap=True)
        for ratio in self.ratios:
            out.print(_line(ratio), soft_wrap=True)
        for check in self.checks:
            out.print(f"  [bold]{'yes' if check.holds else 'NO'}[/bold]: {escape(check.what)}", soft_wrap=True)


def faster(ours: Measured, theirs: Measured, bound: float | None = None) -> Ratio:
    """Our rate by theirs, of the same rounds, and what it must at least be."""
    goal = None if bound is None else Goal(bound)
    return Ratio(ours.name, theirs.name, "messages/s", ours.rates, theirs.rates, goal=goal)


def nothing_wrong(systems: Iterable[Measured]) -> list[Check]:
    """Whether each of these lost nothing and doubled nothing."""
    return [
        Check(f"{system.name}: nothing lost, nothing doubled", not any(run.lost or run.doubled for run in system.runs))
        for system in systems
    ]


def _table(systems: Sequence[Measured]) -> Table:
    shown = Table(box=None, header_style="bold", pad_edge=False)
    shown.add_column("  system")
    for name in ("mails", "messages/s", "CPU s per 1,000", "peak MB, largest process", "lost", "doubled"):
        shown.add_column(name, justify="right")
    for system in systems:
        runs = system.runs
        shown.add_row(
            f"  {escape(system.name)}",
            f"{runs[0].mails:,}",
            spread(system.rates),
            spread([run.cpu for run in runs], 2),
            f"{max(max(run.used.peak.values()) for run in runs):,.0f}",
            f"{sum(run.lost for run in runs):,}",
            f"{sum(run.doubled for run in runs):,}",
        )
    return shown


def _parts(runs: Sequence[Run]) -> str:
    """What each part of a system used."""
    names = list(runs[0].used.cpu)
    cpu = {name: median(run.used.cpu[name] * 1000 / run.mails for run in runs) for name in names}
    peak = {name: max(run.used.peak.get(name, 0.0) for run in runs) for name in names}
    return "CPU s per 1,000 and peak MB: " + _listed(cpu, peak)


def _listed(cpu: Mapping[str, float], peak: Mapping[str, float]) -> str:
    return "; ".join(f"{name} {cpu[name]:.3f}, {peak[name]:,.0f}" for name in cpu)


def _line(ratio: Ratio) -> str:
    ours, theirs = (spread(values, ratio.digits) for values in (ratio.ours, ratio.theirs))
    measured = f"{escape(ratio.what)} {ours} {ratio.unit}; {escape(ratio.against)} {theirs} {ratio.unit}"
    judged = f" {ratio.goal.text(ratio)}" if ratio.goal is not None else ""
    return f"  {measured}: [bold]× {spread(ratio.ratios, 2)}[/bold]{judged}"
