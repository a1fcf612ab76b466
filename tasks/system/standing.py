"""How everything stands: what `rollcall status`, `rollcall wait` and `/metrics` look at."""

from dataclasses import dataclass, fields

import redis
from sqlalchemy import Connection

from config.database import transaction
from config.runtime import Runtime
from config.words import counted
from tasks import events
from tasks.enrolments import running_fanouts
from tasks.mail import MailOutage, MailPaused, current_outages, in_progress, paused
from tasks.system.readers import StreamStanding, is_ingress_stalled, standings, unread
from tasks.webhooks import Health, health
from tasks.work import STALLED_AFTER, Halt, Load, PausedPool, current_halts, loads, paused_pools, unfinished

#: What may be left, by its plural: one of it.
_ONE = {
    "events unread": "event unread",
    "pieces of work": "piece of work",
    "fan-outs": "fan-out",
    "mailings": "mailing",
    "events unpublished": "event unpublished",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InDatabase:
    """What the tables say: what is to be done, and what rests. `relay_stalled`: for `STALLED_AFTER`, work waits that
    nobody was woken for, or events that are not published."""

    queues: list[Load]
    unfinished: int
    fanouts_running: int
    announcements_sending: int
    notices_sending: int
    unpublished: int
    relay_stalled: bool
    quarantine: dict[str, int]
    webhooks: Health
    mail_paused: MailPaused | None
    pools_paused: list[PausedPool]
    halts: list[Halt]

    @property
    def mailings_sending(self) -> int:
        """How many of both kinds."""
        return self.announcements_sending + self.notices_sending


@dataclass(frozen=True, kw_only=True)  # a class has the slots of one other at most
class InRedis:
    """What Redis says. `ingress_stalled`: for `STALLED_AFTER`, an event waits and nobody has asked for any."""

    unread: int
    ingress_stalled: bool
    mail_stopped: list[MailOutage]


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemState(InRedis, InDatabase):
    """What both say."""

    @property
    def stalled(self) -> list[str]:
        """Who does not run, though there is something to do, besides the pools."""
        return [*["ingress"] * self.ingress_stalled, *["relay"] * self.relay_stalled]

    @property
    def at_rest(self) -> bool:
        """Nothing is due, in flight, unpublished or unread. Waiting events, scheduled, paused and held work rest."""
        return not self.left

    @property
    def left(self) -> dict[str, int]:
        """What keeps it from being at rest."""
        counts = {
            "events unread": self.unread,
            "pieces of work": self.unfinished,
            "fan-outs": self.fanouts_running,
            "mailings": self.mailings_sending,
            "events unpublished": self.unpublished,
        }
        return {name: n for name, n in counts.items() if n}

    @property
    def left_in_words(self) -> str:
        """The same, for a person."""
        return ", ".join(counted(n, _ONE[name], name) for name, n in self.left.items())


def system_state(runtime: Runtime, client: redis.Redis) -> SystemState:
    """How everything stands now. The stream is read first: what it brings is then seen in the tables."""
    parts: tuple[InRedis | InDatabase, ...] = (in_redis(runtime, client), in_database(runtime))
    return SystemState(**{field.name: getattr(part, field.name) for part in parts for field in fields(part)})


def in_redis(runtime: Runtime, client: redis.Redis) -> InRedis:
    """How everything stands that Redis knows of."""
    return InRedis(
        unread=unread(client),
        ingress_stalled=is_ingress_stalled(client, STALLED_AFTER),
        mail_stopped=current_outages(client, runtime.endpoints.mail_from),
    )


def is_relay_stalled(connection: Connection, queues: list[Load]) -> bool:
    """Whether no relay does anything about what there is to do."""
    return any(load.unoffered for load in queues) or events.is_stalled(connection, STALLED_AFTER)


def in_database(runtime: Runtime) -> InDatabase:
    """How everything stands that the tables know of."""
    with transaction(runtime.engine) as connection:
        queues, mailings = loads(connection), in_progress(connection)
        return InDatabase(
            queues=queues,
            unfinished=unfinished(connection),
            fanouts_running=running_fanouts(connection),
            announcements_sending=mailings.announcements,
            notices_sending=mailings.notices,
            unpublished=events.unpublished(connection),
            relay_stalled=is_relay_stalled(connection, queues),
            quarantine=events.unresolved_counts(connection),
            webhooks=health(connection),
            mail_paused=paused(connection),
            pools_paused=paused_pools(connection),
            halts=current_halts(connection),
        )


def streams(runtime: Runtime, client: redis.Redis) -> list[StreamStanding]:
    """How the streams stand, and who lags behind on them."""
    with transaction(runtime.engine) as connection:
        return standings(connection, client)
