"""What is on its way in the whole installation, and how much of it there was, minute by minute: an operator's."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from tasks import enrolments, fleet, mail, system
from tasks.acts.acting import Doing, act
from tasks.acts.paging import Page, PageAsked, keys_after, page


@dataclass(frozen=True, slots=True)
class Hours:
    """Of how many hours, until now."""

    hours: Annotated[int, Meta(ge=1, le=48)] = 6


@act("system.samples", "GET /system/samples")
def samples(doing: Doing, asked: Hours) -> list[system.FlowSample]:
    """How much waited and went through, a line for each flow and minute, the oldest first."""
    with doing.transaction() as connection:
        return system.samples(connection, asked.hours)


@dataclass(frozen=True, slots=True)
class AdviceTerms:
    """From how many hours, until now; how late the oldest due work of a pool may be, and how many threads its processes
    have, of all pools alike: null is what each has by itself."""

    hours: Annotated[int, Meta(ge=1, le=48)] = 24
    target_seconds: Annotated[float, Meta(ge=1, le=86_400)] | None = None
    threads: Annotated[int, Meta(ge=1, le=64)] | None = None


@act("system.advise", "GET /system/pools/advice")
def advise(doing: Doing, asked: AdviceTerms) -> list[system.PoolAdvice]:
    """How many processes each pool needs so that its oldest due work is never late, from what came in these hours and
    how long it took."""
    with doing.transaction() as connection:
        found, processes = system.samples(connection, asked.hours), fleet.processes(connection)
    running = {pool: sum(pool in one.queues for one in processes) for pool in system.THREADS}
    targets = dict.fromkeys(system.TARGETS, asked.target_seconds) if asked.target_seconds else system.TARGETS
    threads = dict.fromkeys(system.THREADS, asked.threads) if asked.threads else system.THREADS
    return system.advise(found, running, targets, threads)


@act("system.mailings", "GET /system/mailings")
def mailings(doing: Doing, asked: PageAsked) -> Page[mail.MailingUnderWay]:
    """The mailings that are on their way or paused, of every organisation."""
    after = keys_after(asked.after, tuple[int, int], doing.act) or (0, 0)
    with doing.transaction() as connection:
        found = mail.under_way(connection, after, asked.limit + 1)
    return page(found, asked.limit, lambda one: (one.place, one.number), doing.act)


@act("system.fanouts", "GET /system/fanouts")
def fanouts(doing: Doing, asked: PageAsked) -> Page[enrolments.FanoutUnderWay]:
    """The fan-outs that are not finished, of every organisation."""
    after = keys_after(asked.after, tuple[int, int], doing.act) or (0, 0)
    with doing.transaction() as connection:
        found = enrolments.fanouts_under_way(connection, after, asked.limit + 1)
    return page(found, asked.limit, lambda one: (one.place, one.fanout), doing.act)
