"""How everything stands: what `rollcall status`, `rollcall wait` and `/metrics` look at."""

from dataclasses import dataclass, fields

import redis

from config.database import transaction
from config.runtime import Runtime
from tasks.enrolments import running_fanouts
from tasks.events import inbox, outbox
from tasks.mail.outages import Outage
from tasks.mail.rates import outages
from tasks.mail.store import sending
from tasks.webhooks import Health, health
from tasks.work.store import Load, loads, unfinished
from workers.readers import StreamStanding, standings
from workers.relay import unread


@dataclass(frozen=True, slots=True, kw_only=True)
class InDatabase:
    """What the tables say: what is to be done, and what rests."""

    queues: list[Load]
    unfinished: int
    fanouts_running: int
    mailings_sending: int
    unpublished: int
    quarantine: dict[str, int]
    webhooks: Health


@dataclass(frozen=True, kw_only=True)  # a class has the slots of one other at most
class InRedis:
    """What Redis says."""

    unread: int
    mail_stopped: list[Outage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing(InRedis, InDatabase):
    """What both say."""

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


def look(runtime: Runtime, client: redis.Redis) -> Standing:
    """How everything stands now. The stream is read first: what it brings is then seen in the tables."""
    parts: tuple[InRedis | InDatabase, ...] = (in_redis(runtime, client), in_database(runtime))
    return Standing(**{field.name: getattr(part, field.name) for part in parts for field in fields(part)})


def in_redis(runtime: Runtime, client: redis.Redis) -> InRedis:
    """How everything stands that Redis knows of."""
    return InRedis(unread=unread(client), mail_stopped=outages(client, runtime.endpoints.mail_from))


def in_database(runtime: Runtime) -> InDatabase:
    """How everything stands that the tables know of."""
    with transaction(runtime.engine) as connection:
        return InDatabase(
            queues=loads(connection),
            unfinished=unfinished(connection),
            fanouts_running=running_fanouts(connection),
            mailings_sending=sending(connection),
            unpublished=outbox.unpublished(connection),
            quarantine=inbox.held_counts(connection),
            webhooks=health(connection),
        )


def streams(runtime: Runtime, client: redis.Redis) -> list[StreamStanding]:
    """How the streams stand, and who lags behind on them."""
    with transaction(runtime.engine) as connection:
        return standings(connection, client)
