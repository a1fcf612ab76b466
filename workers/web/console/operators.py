"""Operators: how everything stands on one page that may be left open, what failed, and what rests."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from markupsafe import Markup

from config import clock
from config.errors import UserError
from tasks.acts import Nothing, mail, organisations, system, underway
from tasks.acts import events as event_acts
from tasks.acts.paging import PageAsked
from tasks.acts.system import Pieces, PoolPause, PoolResumption, SystemStatus, WorkFilter, WorkPause, WorkResumption
from tasks.acts.underway import Hours
from tasks.system import Flow, FlowSample
from tasks.work import KINDS, Load, Pool
from workers.web.console.languages import Reading
from workers.web.console.plots import sparkline
from workers.web.console.visits import SECTIONS, Gone, Section, Shown, Visit, page, without_command

#: Hours of samples that the overview shows, pieces of work on a page, and what is on its way that it lists.
HOURS, SHOWN, LISTED = 6, 100, 20

SECTIONS.append(Section("system", "Operators", system.show, whole=True))


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that a person should look at. `bad`: now; `to`: where, if there is a page."""

    bad: bool
    says: str
    to: str = ""


@dataclass(frozen=True, slots=True)
class FlowShown:
    """How a flow stands now, and how it did: `rate`, pieces or events a minute, of the last minute that is known."""

    flow: Flow
    waiting: int | None
    oldest_seconds: float | None
    in_flight: int
    failing: int
    stalled: bool
    paused: bool
    rate: int | None
    waited: Markup
    passed: Markup


def _standing(visit: Visit) -> object:
    """What the overview is asked by: how everything stands, and the minute, whose sample is another."""
    stands = visit.once(system.show, Nothing())
    queues = [replace(load, oldest_due_seconds=None) for load in stands.queues]
    return replace(stands, queues=queues), int(clock.seconds() // 60)


@page("GET system", needs=system.show, section="system", live=_standing)
def overview(visit: Visit) -> Shown:
    """Everything at a glance, what is wrong first."""
    stands = visit.once(system.show, Nothing())
    samples = visit.ask(underway.samples, Hours(HOURS))
    return Shown(
        "system",
        {
            "stands": stands,
            "troubles": troubles(visit, stands),
            "flows": _flows(visit.reader, stands, samples),
            "hours": HOURS,
            "kinds": KINDS,
            "mailings": visit.ask(underway.mailings, PageAsked(LISTED)),
            "fanouts": visit.ask(underway.fanouts, PageAsked(LISTED)),
        },
    )


def troubles(visit: Visit, stands: SystemStatus) -> list[Trouble]:
    """What is wrong, the worst first."""
    _, ngettext = visit.reader.words.gettext, visit.reader.ngettext
    found = [
        Trouble(True, _("The process {name} does nothing, though something waits for it.").format(name=name))
        for name in stands.stalled
    ]
    found += [
        Trouble(True, _("The pool {name} does nothing, though workers were woken for it.").format(name=load.queue))
        for load in stands.queues
        if load.stalled
    ]
    found += [Trouble(True, without_command(one.in_words)) for one in stands.mail_stopped]
    if stands.mail_paused is not None:
        found.append(Trouble(True, without_command(stands.mail_paused.in_words)))
    found += [Trouble(True, without_command(one.in_words)) for one in stands.pools_paused]
    found += [Trouble(True, without_command(one.in_words)) for one in stands.halts]
    if failing := sum(load.failing for load in stands.queues):
        says = ngettext("{n} piece of work is set aside.", "{n} pieces of work are set aside.", failing)
        found.append(Trouble(True, says, visit.top("system", "work")))
    if held := stands.quarantine.get("quarantined", 0):
        says = ngettext("{n} event is in quarantine.", "{n} events are in quarantine.", held)
        found.append(Trouble(False, says, visit.top("system", "quarantine")))
    if stands.webhooks.failing:
        says = ngettext("{n} webhook fails.", "{n} webhooks fail.", stands.webhooks.failing)
        found.append(Trouble(False, says, visit.top("system", "webhooks")))
    if stands.webhooks.disabled:
        says = ngettext("{n} webhook is disabled.", "{n} webhooks are disabled.", stands.webhooks.disabled)
        found.append(Trouble(False, says, visit.top("system", "webhooks")))
    return found


def _flows(reader: Reading, stands: SystemStatus, samples: list[FlowSample]) -> list[FlowShown]:
    _ = reader.words.gettext
    loads = {load.queue: load for load in stands.queues}
    paused = {one.pool for one in stands.pools_paused}
    now = {Flow.IN: stands.unread, Flow.OUT: stands.unpublished}
    found = []
    for flow in Flow:
        those = [one for one in samples if one.flow == flow]
        load = loads.get(flow) or Load(flow, now.get(flow, 0), None, 0, 0, 0, stalled=False)
        found.append(
            FlowShown(
                flow,
                load.due,
                load.oldest_due_seconds,
                load.in_flight,
                load.failing,
                load.stalled or load.unoffered,
                flow in paused,
                those[-1].passed if those else None,
                _spark(reader, _("Waiting"), [one.waiting for one in those]),
                _spark(reader, _("A minute"), [one.passed for one in those]),
            )
        )
    return found


def _spark(reader: Reading, title: str, values: Sequence[int | None]) -> Markup:
    """A sparkline, if there is anything that it could show."""
    return _drawn(reader.language, title, tuple(values)) if any(one is not None for one in values) else Markup("")


@lru_cache(maxsize=256)
def _drawn(language: str, title: str, values: tuple[int | None, ...]) -> Markup:
    """A sparkline, drawn once: it is another once a minute, and many have the page open."""
    return sparkline(Reading(language), title, values)


@page("POST system/pools/{pool}", needs=system.pause, section="system")
def change_pool(visit: Visit) -> Gone:
    """Let a pool rest, or go on."""
    pool = next((one for one in Pool if one == visit.path["pool"]), None)
    if pool is None:
        raise UserError(visit.reader.words.gettext("There is no such pool."))
    if visit.said("wanted") == "resume":
        visit.ask(system.resume, PoolResumption(pool))
        said = visit.reader.words.gettext("The pool {name} works.")
    else:
        visit.ask(system.pause, PoolPause(pool, why(visit)))
        said = visit.reader.words.gettext("The pool {name} is paused.")
    return Gone(visit.top("system"), said.format(name=pool))


@page("POST system/mail", needs=mail.pause, section="system")
def change_mail(visit: Visit) -> Gone:
    """Let no mail leave, or let it leave again."""
    if visit.said("wanted") == "resume":
        visit.ask(mail.resume, Nothing())
        return Gone(visit.top("system"), visit.reader.words.gettext("Mail leaves again."))
    visit.ask(mail.pause, Nothing())
    return Gone(visit.top("system"), visit.reader.words.gettext("No mail leaves until it is resumed."))


@page("POST system/halts", needs=system.halt, section="system")
def change_halts(visit: Visit) -> Gone:
    """Let nobody begin the work of an organisation, of a kind, or both; or let it be begun again."""
    kind, whose, _ = visit.said("kind") or None, visit.said("organisation").strip() or None, visit.reader.words.gettext
    if visit.said("wanted") == "resume":
        visit.ask(system.unhalt, WorkResumption(kind, whose))
        return Gone(visit.top("system"), _("That work is begun again."))
    visit.ask(system.halt, WorkPause(kind, whose, why(visit)))
    return Gone(visit.top("system"), _("That work is not begun until it is resumed."))


@page("GET system/work", needs=system.failing, section="system")
def list_work(visit: Visit) -> Shown:
    """The work that was set aside."""
    found = visit.ask(system.failing, visit.read(WorkFilter, limit=SHOWN))
    return Shown("system_work", {"work": found.items, "next": found.next})


@page("POST system/work/confirm", needs=system.discard_many, section="system")
def confirm_work(visit: Visit) -> Shown:
    """Say what it means to give work up, before it is done."""
    return Shown("system_discard", {"numbers": numbers(visit, "work")})


@page("POST system/work", needs=system.retry_many, section="system")
def change_work(visit: Visit) -> Gone:
    """Try work again, or give it up."""
    chosen, ngettext = numbers(visit, "work"), visit.reader.ngettext
    if visit.said("wanted") == "discard":
        done = len(visit.ask(system.discard_many, Pieces(chosen)))
        said = ngettext("{n} piece of work was given up.", "{n} pieces of work were given up.", done)
    else:
        done = len(visit.ask(system.retry_many, Pieces(chosen)))
        said = ngettext("{n} piece of work is tried again.", "{n} pieces of work are tried again.", done)
    return Gone(visit.top("system", "work"), said)


@page("GET system/suppressions", needs=system.show, section="system")
def choose_organisation(visit: Visit) -> Shown:
    """Suppressions are an organisation's: choose one."""
    found = visit.ask(organisations.list_, visit.read(PageAsked))
    return Shown("system_suppressions", {"organisations": found.items, "next": found.next})


@page("GET system/quarantine/decided", needs=event_acts.decided_anywhere, section="system")
def list_decided(visit: Visit) -> Shown:
    """What was decided about events, by whom and why."""
    found = visit.ask(event_acts.decided_anywhere, visit.read(event_acts.AnybodysDecidedFilter))
    return Shown("system_decided", {"events": found.items, "next": found.next})


def numbers(visit: Visit, name: str) -> list[int]:
    """What is ticked. Raises `UserError` if nothing is."""
    found = [int(one) for one in visit.all_said(name) if one.isascii() and one.isdigit() and len(one) < 19]
    if not found:
        raise UserError(visit.reader.words.gettext("Nothing is ticked: go back, tick something, and press the button."))
    return found


def why(visit: Visit) -> str:
    """The reason that somebody gives. Raises `UserError` if they give none."""
    said = visit.said("why").strip()
    if not said:
        raise UserError(visit.reader.words.gettext("Say why: it is kept with what is done."))
    return said[:1000]
