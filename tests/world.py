"""The platform, an admin and an operator, in the tests' words: what happens there, and what can be seen of it."""

import itertools
import json
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dramatiq
import redis
from dramatiq.broker import MessageProxy
from sqlalchemy import Connection, text

from config.database import column, execute, scoped, transaction, value
from config.runtime import Runtime
from config.streams import OUT
from tasks import enrolments, learners, organisations, seats
from tasks.announcements import Progress, find, progress
from tasks.enrolments import Enrolment
from tasks.events.quarantine import Quarantined, quarantined
from tasks.intake import BatchResult, process_batch
from tasks.mail import tally
from tasks.reconcile import deviations
from tasks.work.backlog import unfinished
from tests.mailserver import MailServer
from tests.outgoing import checked
from workers.pool import Leases
from workers.queues import Broker, message_for
from workers.relay.audit import KeepAudit
from workers.relay.forgetting import ForgetEvents
from workers.relay.leader import CHORES, Relay
from workers.relay.publish import Publish
from workers.relay.readers import WatchReaders
from workers.relay.retention import KeepPartitions
from workers.relay.sampling import TakeSamples
from workers.relay.searching import IndexLearners
from workers.relay.statistics import AnalyzeGrown
from workers.relay.wake import Wake
from workers.relay.witness import WatchWitness

#: The platform's clock starts here and moves a second with each event, unless the test says when.
DAWN = datetime(2026, 1, 10, 9, tzinfo=UTC)

#: Whether any work is due that may be begun.
DUE = """
SELECT EXISTS (
    SELECT FROM work WHERE state IN ('due', 'scheduled') AND due_at <= now() AND NOT halted(organisation, actor))
"""

#: What the relay does once in some seconds, and no test waits for.
LEFT = {AnalyzeGrown, ForgetEvents, KeepAudit, KeepPartitions, WatchReaders, WatchWitness, IndexLearners, TakeSamples}

_numbers = itertools.count(1)


class Woken(Broker):
    """Keeps whom the relay wakes, for this process to work on."""

    def __init__(self, redis_url: str, stopping: threading.Event) -> None:
        super().__init__(redis_url, stopping)
        self.messages: list[dramatiq.Message[Any] | MessageProxy] = []

    def wake(self, queue: str, messages: Iterable[dramatiq.Message[Any] | MessageProxy]) -> None:  # noqa: ARG002
        """Keep these."""
        self.messages += messages

    def taken(self) -> list[dramatiq.Message[Any] | MessageProxy]:
        """What was kept, once."""
        found, self.messages = self.messages, []
        return found


@dataclass
class World:
    """A platform with one organisation, `acme`, and everything behind it. Events are applied when they are sent; what
    they leave to be done is done by `settle`."""

    runtime: Runtime
    redis: redis.Redis
    mail: MailServer
    organisation: str = "acme"
    clock: datetime = DAWN
    sent: list[bytes] = field(default_factory=list, repr=False)
    heard: bytes = field(default=b"-", repr=False)

    def event(
        self,
        type_: str,
        data: dict[str, Any],
        *,
        at: datetime | None = None,
        id_: str | None = None,
        organisation: str | None = None,
        **extra: object,
    ) -> bytes:
        """An event of the platform, as it travels."""
        self.clock += timedelta(seconds=1)
        return json.dumps(
            {
                "specversion": "1.0",
                "id": id_ or f"e{next(_numbers)}",
                "source": "urn:platform",
                "type": f"platform.{type_}",
                "time": (at or self.clock).isoformat(),
                "organisation": organisation or self.organisation,
                "data": data,
                **extra,
            }
        ).encode()

    def send(self, *bodies: bytes) -> BatchResult:
        """The platform sends events, and they are taken in one batch."""
        self.sent += bodies
        return process_batch(self.runtime.engine, self.runtime.settings, list(bodies))

    def say(self, type_: str, *, at: datetime | None = None, id_: str | None = None, **data: object) -> bytes:
        """The platform sends one event; it, to be sent again."""
        body = self.event(type_, data, at=at, id_=id_)
        self.send(body)
        return body

    def has_organisation(self, licence: str = "credits", pool: int | None = 1000, **data: object) -> None:
        """The organisation is known."""
        described: dict[str, Any] = {
            "name": "Acme Academy",
            "licence": licence,
            "pool": pool,
            "licence_starts": "2026-01-01",
            "licence_ends": "2026-12-31",
            "admin_emails": ["admin@acme.example"],
            "reactivation_digest": False,
        }
        self.send(self.event("organisation.saved", described | data))

    def has_learners(self, *ids: str, at: datetime | None = None, **data: object) -> None:
        """These learners are known, each with an address unless `email=None` says otherwise; one batch."""
        self.send(*(self.event("learner.saved", self.learner(id_, **data), at=at) for id_ in ids))

    def learner(self, id_: str, **data: object) -> dict[str, Any]:
        """How the platform describes a learner."""
        return {
            "learner": id_,
            "username": f"user-{id_}",
            "email": f"{id_.lower()}@acme.example",
            "first_name": f"First{id_}",
            "last_name": f"Last{id_}",
            "locale": "en",
            "time_zone": "Europe/Amsterdam",
            **data,
        }

    def has_course(self, id_: str, method: str = "manual", *, at: datetime | None = None, **data: object) -> bytes:
        """A course is described."""
        described = {"course": id_, "title": f"Course {id_}", "cost": 1, "on_hold": False, "method": method}
        body = self.event("course.saved", described | {"segments": []} | data, at=at)
        self.send(body)
        return body

    def becomes(self, status: str, *ids: str, at: datetime | None = None, version: int | None = None) -> None:
        """Learners are made active or inactive; one batch."""
        extra = {} if version is None else {"version": version}
        self.send(
            *(self.event("learner.status_changed", {"learner": i, "status": status, **extra}, at=at) for i in ids)
        )

    def starts(self, learner: str, course: str, *, at: datetime | None = None, cycle: int = 1) -> bytes:
        """A learner starts a course."""
        return self.say("course.started", at=at, learner=learner, course=course, cycle=cycle)

    def has_segment(self, id_: str, *learners: str, at: datetime | None = None) -> None:
        """A segment is known, with these members."""
        self.say("segment.saved", at=at, segment=id_, name=f"Segment {id_}")
        if learners:
            self.say("segment.joined", at=at, segment=id_, learners=list(learners))

    def asks_to_enrol(
        self,
        course: str,
        *learners: str,
        tab: str = "all",
        request: str | None = None,
        at: datetime | None = None,
        **data: object,
    ) -> bytes:
        """An admin ticks boxes in a tab of a course: active or all."""
        asked = {"request": request or f"r{next(_numbers)}", "course": course, "learners": list(learners), "tab": tab}
        body = self.event("enrolment.requested", asked | data, at=at)
        self.send(body)
        return body

    def withdraws(self, course: str, *learners: str, at: datetime | None = None, **data: object) -> bytes:
        """An admin withdraws learners from a course by name."""
        body = self.event("enrolment.withdrawn", {"course": course, "learners": list(learners), **data}, at=at)
        self.send(body)
        return body

    def announces(self, id_: str = "news", **data: object) -> bytes:
        """An admin sends an announcement, to everyone unless told otherwise."""
        said = {"announcement": id_, "subject": f"About {id_}", "body": "Hello {{ first_name }}."}
        body = self.event("announcement.requested", said | {"audience": {"everyone": True}} | data)
        self.send(body)
        return body

    def comes_to_rest(self, seconds: float = 20) -> None:
        """Do everything, also what is due only after a pause; what is scheduled or held rests."""
        deadline = time.monotonic() + seconds
        while True:
            self.settle()
            with transaction(self.runtime.engine) as connection:
                left = unfinished(connection)
            if not left:
                return
            assert time.monotonic() < deadline, f"{left} pieces of work never finished"
            threading.Event().wait(0.01)

    def settle(self) -> None:
        """Do everything that is due, in this process: the relay does its chores, and whoever it wakes works. What is
        due later stays, and so does what it does once in some seconds and no test waits for: streams are not trimmed
        under a test's eyes, no learner is indexed for the search, and nothing is forgotten."""
        relay = Relay(self.runtime, chores=[chore for chore in CHORES if chore not in LEFT])
        woken = Woken(self.runtime.endpoints.redis_url, self.runtime.stopping)
        for chore in relay.chores:
            if isinstance(chore, Wake):
                chore.broker = woken
        due = True
        while due:
            for chore in relay.chores:
                chore.due_at = 0
            relay.round()
            messages = woken.taken()
            for message in messages:
                work_on(self.runtime, message.actor_name, *message.args)
            due = bool(messages) or self.ask(DUE)  # what finishes in a round may leave work for the next one
        publish(self.runtime, next(chore for chore in relay.chores if isinstance(chore, Publish)))
        self.hear()

    def hear(self) -> None:
        """Check whatever of ours was published since the last time against its type."""
        news: Any = self.redis.xrange(OUT, min=self.heard)
        for entry, fields in news:
            self.heard = b"(" + entry
            if b'"source"' in fields[b"event"]:
                checked(fields[b"event"])

    def out(self, type_: str | None = None) -> list[dict[str, Any]]:
        """The events published so far, in order: of one type its data alone, else whole."""
        entries: Any = self.redis.xrange(OUT)
        self.hear()
        found: list[dict[str, Any]] = [json.loads(fields[b"event"]) for _, fields in entries]
        if type_ is None:
            return found
        return [event["data"] for event in found if event["type"] == f"rollcall.{type_}"]

    def enrolments(self, learner: str, organisation: str | None = None) -> dict[str, Enrolment]:
        """A learner's enrolments, by course; of several cycles the last."""
        with self.about(organisation) as (connection, org):
            profile = learners.profile(connection, org.organisation, learner)
            assert profile is not None, f"{learner} is not known"
            found = enrolments.enrolments_of(connection, org.organisation, profile.learner)
        return {enrolment.course: enrolment for enrolment in found}

    def access(self, learner: str) -> set[str]:
        """The courses a learner has access to."""
        return {course for course, enrolment in self.enrolments(learner).items() if enrolment.access}

    def ledger(self, organisation: str | None = None) -> list[seats.Entry]:
        """Every entry of what was consumed."""
        with self.about(organisation) as (connection, org):
            return seats.ledger(connection, org.organisation)

    def quarantine(self) -> dict[str, Quarantined]:
        """What could not be taken, by the event's id."""
        with transaction(self.runtime.engine) as connection:
            return {entry.id: entry for entry in quarantined(connection, None)}

    def progress(self, announcement: str) -> Progress:
        """How an announcement stands."""
        with self.about() as (connection, org):
            found = find(connection, org.organisation, announcement)
            assert found is not None, f"{announcement} is not known"
            return progress(announcement, found.state, tally(connection, org.organisation, found.mailing))

    def off(self) -> dict[tuple[str, str | None], int]:
        """What the reconciling pass finds off: how many of what, in which course."""
        with self.about() as (connection, org):
            return {(entry.deviation, entry.course): entry.n for entry in deviations(connection, org)}

    def ask(self, sql: str, **parameters: object) -> Any:
        """One value from the tables, where nothing else shows it."""
        with transaction(self.runtime.engine) as connection:
            return value(connection, sql, **parameters)

    def waiting(self) -> int:
        """How many sessions of this database wait for a lock; other tests have theirs at the same server."""
        asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return int(self.ask(asked))

    def list(self, sql: str, **parameters: object) -> list[Any]:
        """One column from the tables, where nothing else shows it."""
        with transaction(self.runtime.engine) as connection:
            return column(connection, sql, **parameters)

    def rows(self, sql: str, **parameters: object) -> Sequence[tuple[Any, ...]]:
        """Rows from the tables, where nothing else shows them."""
        with transaction(self.runtime.engine) as connection:
            return [tuple(row) for row in connection.execute(text(sql), parameters)]

    def execute(self, sql: str, **parameters: object) -> None:
        """Change the tables behind the system's back."""
        with transaction(self.runtime.engine) as connection:
            execute(connection, sql, **parameters)

    @contextmanager
    def about(self, organisation: str | None = None) -> Iterator[tuple[Connection, organisations.Organisation]]:
        """A transaction about an organisation, this platform's unless it is named."""
        id_ = organisation or self.organisation
        with transaction(self.runtime.engine) as connection:
            org = organisations.find(connection, [id_])[id_]
            with scoped(connection, org.organisation):
                yield connection, org


def work_on(runtime: Runtime, actor: str, organisation: int, work: int) -> None:
    """Do a piece of work, as a worker that was woken for it."""
    broker = Broker(runtime.endpoints.redis_url, runtime.stopping)
    broker.add_middleware(Leases(runtime))
    message = MessageProxy(message_for("tasks", actor, organisation, work))
    broker.emit_before("process_message", message)
    if message.failed:
        return
    try:
        broker.get_actor(actor)(*message.args)
    except Exception as problem:  # noqa: BLE001 - as dramatiq does
        broker.emit_after("process_message", message, exception=problem)
    else:
        broker.emit_after("process_message", message, result=None)


def publish(runtime: Runtime, chore: Publish | None = None) -> None:
    """Put the outbox in order, and write all of it to the stream."""
    chore = chore or Publish(runtime)
    while chore.do() == 0:
        pass


def id_of(body: bytes) -> str:
    """The id of an event that was sent."""
    return str(json.loads(body)["id"])


def shuffled(bodies: Iterable[bytes], order: Iterable[int]) -> list[bytes]:
    """Events in another order."""
    found = list(bodies)
    return [found[position] for position in order]
