"""The installation, for operators: how everything stands, pools that rest, and work that was set aside."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta
from sqlalchemy import Connection

from config import services
from config.counting import COUNTED, series_of
from config.errors import NotFound, UserError
from config.streams import make_redis
from tasks import fleet, organisations, system, work
from tasks.acts.acting import Doing, Nothing, act
from tasks.acts.paging import After, Limit, Page, keys_after, page
from tasks.mail import MailOutage, MailPaused
from tasks.system import StreamStanding
from tasks.webhooks import Health
from tasks.work import FailingWork, Load, PausedPool, Pool

#: Why something is done, kept with what was done.
Why = Annotated[str, Meta(min_length=1, max_length=1000)]


#: What is done most, by what is counted of it.
TOTALS = {
    "events": [series_of("rollcall_events_taken_total", {"outcome": one}) for one in ("applied", "deferred")],
    "mails": [
        series_of("rollcall_mails_total", labels | {"outcome": "accepted"})
        for labels in ({"kind": kind} for kind in COUNTED["rollcall_mails_total"].labels["kind"])
    ],
    "starts": [series_of("rollcall_starts_charged_total", {"unit": unit}) for unit in ("seat", "credit")],
}


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """How everything stands, and the pids of what `rollcall up` runs on this machine. `stalled`: `ingress` or `relay`,
    if something has waited for it for ten seconds; `pools_paused`: those that begin nothing, because somebody said so;
    `fleet`: the processes that run, on every host; `unserved`: the queues that none of them works on;
    `totals`: what all of them did since the installation began; `halts`: work that is not begun, because somebody or
    its fuse says so."""

    processes: dict[str, int]
    queues: list[Load]
    fanouts_running: int
    mailings_sending: int
    notices_sending: int
    unread: int
    unpublished: int
    quarantine: dict[str, int]
    streams: list[StreamStanding]
    webhooks: Health
    mail_stopped: list[MailOutage]
    at_rest: bool
    stalled: list[str]
    mail_paused: MailPaused | None
    pools_paused: list[PausedPool]
    fleet: list[fleet.Process]
    unserved: list[str]
    totals: dict[str, float]
    halts: list[work.Halt]


@dataclass(frozen=True, slots=True)
class PoolPause:
    """A pool that is to begin nothing, and why."""

    pool: Pool
    why: Why = "paused by hand"


@dataclass(frozen=True, slots=True)
class PoolResumption:
    """A pool that is to go on."""

    pool: Pool


@dataclass(frozen=True, slots=True)
class PoolState:
    """Whether a pool is paused, and whether that is news."""

    pool: str
    paused: bool
    changed: bool


@dataclass(frozen=True, slots=True)
class WorkPause:
    """Work that is not to be begun: of a kind, of an organisation, or both; and why."""

    kind: str | None = None
    organisation: str | None = None
    why: Why = "paused by hand"


@dataclass(frozen=True, slots=True)
class WorkResumption:
    """Work that is to be begun again."""

    kind: str | None = None
    organisation: str | None = None


@dataclass(frozen=True, slots=True)
class HaltState:
    """Whether such work is stopped, and whether that is news."""

    organisation: str | None
    kind: str | None
    halted: bool
    changed: bool


@dataclass(frozen=True, slots=True)
class WorkFilter:
    """Which work is listed: that which was set aside."""

    state: Literal["failing"] = "failing"
    limit: Limit = 100
    after: After | None = None


@dataclass(frozen=True, slots=True)
class OnePiece:
    """A piece of work, by its number."""

    id: int


@dataclass(frozen=True, slots=True)
class Pieces:
    """Pieces of work, by their numbers: all of them, or none."""

    numbers: list[int]


@dataclass(frozen=True, slots=True)
class Retried:
    """A piece that is tried again."""

    number: int


@dataclass(frozen=True, slots=True)
class DiscardedWork:
    """A piece that is not done any more."""

    number: int


@act("system.show", "GET /system")
def show(doing: Doing, asked: Nothing) -> SystemStatus:  # noqa: ARG001 - there is one installation
    """What runs, what is due, what is on its way, and what could not be taken."""
    runtime = doing.runtime
    with make_redis(runtime.endpoints.redis_url) as client:
        standing = system.system_state(runtime, client)
        with doing.transaction() as connection:
            running, counted = fleet.processes(connection), fleet.counted(connection)
        return SystemStatus(
            processes=services.running(runtime.home),
            queues=standing.queues,
            fanouts_running=standing.fanouts_running,
            mailings_sending=standing.mailings_sending,
            notices_sending=standing.notices_sending,
            unread=standing.unread,
            unpublished=standing.unpublished,
            quarantine=standing.quarantine,
            streams=system.streams(runtime, client),
            webhooks=standing.webhooks,
            mail_stopped=standing.mail_stopped,
            at_rest=standing.at_rest,
            stalled=standing.stalled,
            mail_paused=standing.mail_paused,
            pools_paused=standing.pools_paused,
            fleet=running,
            unserved=fleet.unserved(running, [*work.Pool]),
            totals={what: sum(counted.get(one, 0.0) for one in series) for what, series in TOTALS.items()},
            halts=standing.halts,
        )


@act("system.pause", "POST /system/pools/{pool}/pause")
def pause(doing: Doing, asked: PoolPause) -> PoolState:
    """Let the workers of a pool begin nothing, until they are resumed; what is begun is finished, or put back soon."""
    with doing.transaction() as connection:
        changed = work.pause_pool(connection, asked.pool, by=doing.caller.who, why=asked.why)
        doing.record(connection, asked.pool, before={"paused": not changed}, after={"paused": True})
    return PoolState(asked.pool, True, changed)


@act("system.resume", "POST /system/pools/{pool}/resume")
def resume(doing: Doing, asked: PoolResumption) -> PoolState:
    """Let the workers of a pool go on."""
    with doing.transaction() as connection:
        changed = work.resume_pool(connection, asked.pool)
        doing.record(connection, asked.pool, before={"paused": changed}, after={"paused": False})
    return PoolState(asked.pool, False, changed)


@act("work.pause", "POST /system/work/pause")
def halt(doing: Doing, asked: WorkPause) -> HaltState:
    """Let nobody begin work of a kind, of an organisation, or both, until it is resumed."""
    with doing.transaction() as connection:
        whose = _whose(connection, asked.organisation, asked.kind)
        changed = work.halt(connection, whose, asked.kind, by=doing.caller.who, why=asked.why)
        doing.record(connection, _named(asked), before={"halted": not changed}, after={"halted": True})
    return HaltState(asked.organisation, asked.kind, True, changed)


@act("work.resume", "POST /system/work/resume")
def unhalt(doing: Doing, asked: WorkResumption) -> HaltState:
    """Let work be begun again that somebody, or its fuse, has stopped."""
    with doing.transaction() as connection:
        whose = _whose(connection, asked.organisation, asked.kind)
        changed = work.unhalt(connection, whose, asked.kind)
        doing.record(connection, _named(asked), before={"halted": changed}, after={"halted": False})
    return HaltState(asked.organisation, asked.kind, False, changed)


def _named(asked: WorkPause | WorkResumption) -> str:
    return " of ".join(filter(None, (asked.kind or "work", asked.organisation)))


def _whose(connection: Connection, organisation: str | None, kind: str | None) -> int:
    """The number of the organisation that is meant, or of all."""
    if organisation is None and kind is None:
        raise UserError("Name a kind of work, an organisation, or both: all of everybody is paused pool by pool.")
    if kind is not None and kind not in work.KINDS:
        raise UserError(f"There is no kind of work {kind!r}: there are {', '.join(work.KINDS)}.")
    if organisation is None:
        return work.EVERYBODY
    found = organisations.find(connection, [organisation]).get(organisation)
    if found is None:
        raise NotFound(f"There is no organisation {organisation!r}.")
    return found.organisation


@act("work.failing", "GET /system/work")
def failing(doing: Doing, asked: WorkFilter) -> Page[FailingWork]:
    """The work that was set aside: whose it is and what was to be done."""
    (after,) = keys_after(asked.after, tuple[int], doing.act) or (0,)
    with doing.transaction() as connection:
        found = work.failing(connection, after, asked.limit + 1)
    return page(found, asked.limit, lambda piece: (piece.number,), doing.act)


@act("work.retry", "POST /system/work/{id}/retry")
def retry(doing: Doing, asked: OnePiece) -> Retried:
    """Try a piece again, from the beginning of its patience."""
    return retry_many.does(doing, Pieces([asked.id]))[0]


@act("work.retry_many", "POST /system/work/retry")
def retry_many(doing: Doing, asked: Pieces) -> list[Retried]:
    """Try pieces again, from the beginning of their patience."""
    return [Retried(number) for number in _decided(doing, asked, work.retry, "due")]


@act("work.discard", "POST /system/work/{id}/discard")
def discard(doing: Doing, asked: OnePiece) -> DiscardedWork:
    """Give a piece up, for good: what it was to do is not done."""
    return discard_many.does(doing, Pieces([asked.id]))[0]


@act("work.discard_many", "POST /system/work/discard")
def discard_many(doing: Doing, asked: Pieces) -> list[DiscardedWork]:
    """Give pieces up, for good: what they were to do is not done."""
    return [DiscardedWork(number) for number in _decided(doing, asked, work.give_up, "discarded")]


def _decided(doing: Doing, asked: Pieces, decide: Callable[[Connection, int], bool], state: str) -> list[int]:
    with doing.transaction() as connection:
        for number in asked.numbers:
            if not decide(connection, number):
                raise NotFound(f"No piece of work {number} is set aside: nothing was changed.")
        doing.record_each(connection, {str(n): ({"state": "failing"}, {"state": state}) for n in asked.numbers})
    return asked.numbers
