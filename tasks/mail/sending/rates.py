"""The pace of all workers together, kept in Redis. While Redis is away, each worker keeps to its share of it.

What is kept is small and may be lost: a lost bucket is a full one, a lost circuit a closed one.
"""

import math
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias, TypeVar, cast

import msgspec
import redis
import structlog

from config import clock
from config.addresses import sender_address
from config.streams import connect
from tasks.mail.rules import ANYWHERE, MailAttempt, MailResult
from tasks.mail.sending.outages import EVERYWHERE, MailOutage, outage
from tasks.mail.sending.pace import (
    CIRCUIT,
    RESERVE,
    SENDER,
    SLOTS,
    Bucket,
    Changes,
    Circuit,
    Grant,
    Limits,
    State,
    circuit_of,
    granted,
    learnt,
)
from tasks.mail.sending.slots import Slots, Use, allotted, reported, shut_out
from tasks.mail.sending.standstill import STANDSTILL, is_sure, stands_still

log = structlog.get_logger()

Result = TypeVar("Result")

#: What is kept in Redis, by its key, and what is to be changed of it; None deletes.
Known: TypeAlias = Bucket | Circuit | Slots
Decide: TypeAlias = Callable[[Mapping[str, Known], Limits], tuple[Result, Mapping[str, Known | None]]]

#: Where it lies in Redis, and for how many seconds after the last mail.
PREFIX = "rollcall:pace:"

#: What the open circuits are kept under a second time, together, for those who look.
OUTAGES = "@outages"
KEPT_SECONDS = 3600

#: Seconds of patience with one answer of Redis, and with all that one decision takes; and for which it is left alone
#: after that was not enough, since mail does not wait for it.
ANSWER_SECONDS = 0.2
PATIENCE_SECONDS = 0.3
AWAY_SECONDS = 5.0

#: Seconds between two times of saying that a worker is there, and after which one that says nothing has gone.
PRESENT_EVERY_SECONDS = 5.0
PRESENT_FOR_SECONDS = 20.0

#: Seconds until it is worth asking again where no connection is free: less for what somebody waits for.
WAIT_SECONDS = 0.5
URGENT_WAIT_SECONDS = 0.2

#: Seconds for which feedback may wait until the next mails are asked for.
FRESH_SECONDS = 1.0

#: For those who count no connections.
NO_USE = Use(0, 0, 0)

#: Seconds for which it counts that the server took mail of other domains, if one's is refused.
LATELY_SECONDS = 60.0

#: Domains of which is remembered when the server last took a mail.
MOST_DOMAINS = 10_000


@dataclass(frozen=True, slots=True)
class Feedback:
    """What became of mails, each to a domain, that went within so many seconds; whether a connection was made for them,
    which connections the process has, and what was said if the server refused one."""

    attempts: Sequence[tuple[str, MailAttempt]]
    seconds: float
    connected: bool = False
    use: Use = NO_USE
    refused: MailAttempt | None = None
    made: float = field(default_factory=time.monotonic)

    @property
    def domains(self) -> list[str]:
        """Where the mails went, each domain once."""
        return list(dict.fromkeys(domain for domain, _ in self.attempts))

    @property
    def may_wait(self) -> bool:
        """Whether nobody is to hear of it at once, since all mails were accepted."""
        return self.refused is None and all(attempt.answer is MailResult.ACCEPTED for _, attempt in self.attempts)

    @property
    def is_fresh(self) -> bool:
        """Whether it still says how things stand."""
        return time.monotonic() - self.made < FRESH_SECONDS


class Rates:
    """What a worker asks before it begins mails, and tells of what became of them. Used from any thread."""

    def __init__(self, redis_url: str, sender: str, *, rate: float, domain_rate: float, pause: float) -> None:
        """`rate` and `domain_rate`: mails a second of all workers together, 0 where there is no limit. `pause`: seconds
        before another try where nobody answers; doubles."""
        self._redis = connect(redis_url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS)
        self._prefix = f"{PREFIX}{sender}:"
        self._limits = Limits(rate or math.inf, domain_rate or math.inf, pause)
        self._name = uuid.uuid4().hex
        self._workers = 1
        self._say_present_at = 0.0
        self._ask_again_at = 0.0
        self._seen: dict[str, Known] = {}
        self._alone = False
        #: When the server last took a mail of this process, by domain, and of any (`ANYWHERE`).
        self.taken: dict[str, datetime] = {}

    def grant(
        self, domains: Sequence[str], *, waited_for: bool, use: Use = NO_USE, feedback: Feedback | None = None
    ) -> Grant:
        """Which of these mails, each to a domain, may begin now, and over how many connections; none may where there is
        none. Announcements leave a part to what is waited for. `feedback` that could wait is learnt from first, in the
        same question."""
        now, reserve = clock.seconds(), 0.0 if waited_for else RESERVE

        def decide(state: Mapping[str, Known], limits: Limits) -> tuple[Grant, dict[str, Known | None]]:
            grant, changes = granted(_pace(state), domains, limits, now, reserve=reserve)
            if use is NO_USE or not any(grant.allowed):
                return grant, dict(changes)
            slots = _slots(state)
            lanes, allotment = allotted(slots, self._name, use, now, waited_for=waited_for)
            taken: dict[str, Known | None] = {} if allotment == slots else {SLOTS: allotment}
            if lanes.mine:
                return replace(grant, lanes=lanes), {**changes, **taken}
            wait = URGENT_WAIT_SECONDS if waited_for else WAIT_SECONDS
            return Grant([False] * len(domains), wait, lanes=lanes), taken

        if feedback is None:
            return self._decided(_keys(domains), decide)
        learn = self._learning(feedback, now)

        def learn_and_decide(
            state: Mapping[str, Known], limits: Limits
        ) -> tuple[tuple[Grant, State, Changes], dict[str, Known | None]]:
            (pace, learnt_of_it), learnt = learn(state, limits)
            grant, changes = decide(_changed(state, learnt), limits)
            return (grant, pace, learnt_of_it), {**learnt, **changes}

        grant, pace, learnt_of_it = self._decided(_keys([*feedback.domains, *domains]), learn_and_decide)
        _say(pace, learnt_of_it, now)
        return grant

    def learn(self, feedback: Feedback) -> None:
        """Learn from what became of mails."""
        now = clock.seconds()
        _say(*self._decided(_keys(feedback.domains), self._learning(feedback, now)), now)

    def _learning(self, feedback: Feedback, now: float) -> Decide[tuple[State, Changes]]:
        attempts, use, refused = feedback.attempts, feedback.use, feedback.refused
        mails_a_second = len(attempts) / max(feedback.seconds, 0.01)
        lately = self._took_others_lately(attempts, now)
        if len(self.taken) > MOST_DOMAINS:
            self.taken.clear()
        latest = {domain: attempt.at for domain, attempt in attempts if attempt.answer is MailResult.ACCEPTED}
        if latest:
            self.taken |= latest | {ANYWHERE: max(latest.values())}

        def decide(state: Mapping[str, Known], limits: Limits) -> tuple[tuple[State, Changes], dict[str, Known | None]]:
            everybody = self._workers if limits is self._limits else 1
            rate = mails_a_second * everybody
            slots, pace = _slots(state), _pace(state)
            held = slots
            if use is not NO_USE and (refused or slots.limit is not None or slots.shut_out is not None):
                held = reported(slots, self._name, use, now, refused=refused is not None)
            out = refused is not None and shut_out(held, now)
            became = [*attempts, ("", refused)] if refused is not None and out else attempts
            changes = learnt(
                pace,
                became,
                limits,
                now,
                mails_a_second=rate,
                seconds=feedback.seconds,
                connected=feedback.connected and not out,
                lately=lately,
            )
            changes |= stands_still(pace, attempts, now)
            return (pace, changes), {**changes} if held == slots else {**changes, SLOTS: held}

        return decide

    def _took_others_lately(self, attempts: Sequence[tuple[str, MailAttempt]], now: float) -> bool:
        """Whether the server took mail of other domains a moment ago than of those that it refuses."""
        refused = {domain for domain, attempt in attempts if attempt.answer is MailResult.REFUSED_US}
        return bool(refused) and any(
            now - at.timestamp() < LATELY_SECONDS
            for domain, at in list(self.taken.items())  # other threads add to it
            if domain not in {ANYWHERE, *refused}
        )

    def hold(self, use: Use) -> None:
        """Say which connections the process has, so that others know how many are left."""
        now = clock.seconds()

        def decide(state: Mapping[str, Known], _limits: Limits) -> tuple[None, dict[str, Known | None]]:
            slots = _slots(state)
            held = reported(slots, self._name, use, now)
            return None, {} if held == slots else {SLOTS: held}

        self._decided([SLOTS], decide)

    def _decided(self, keys: list[str], decide: Decide[Result]) -> Result:
        """Decide by what all workers know, or, while Redis is away, by what this one does."""
        begun = time.monotonic()
        if begun >= self._ask_again_at:
            try:
                self._say_present()
                while time.monotonic() < begun + PATIENCE_SECONDS:
                    with suppress(redis.WatchError):
                        return self._together(keys, decide)
            except (redis.RedisError, msgspec.MsgspecError) as problem:  # away, full, read-only, or not ours
                log.warning("mail.pace_alone", workers=self._workers, problem=type(problem).__name__)
            self._ask_again_at = time.monotonic() + AWAY_SECONDS
        if not self._alone:
            self._alone = True
            self._seen = {key: _share(state, self._workers) for key, state in self._seen.items()}
        result, changes = decide(self._seen, self._limits.shared_by(self._workers))
        self._seen = _changed(self._seen, changes)
        return result

    def _together(self, keys: list[str], decide: Decide[Result]) -> Result:
        """Decide by what all workers know and write what that changes, if nobody else did meanwhile."""
        names = [self._prefix + key for key in keys]
        found = self._redis.mget(names)
        state = _read(keys, found)
        result, changes = decide(state, self._limits)
        if changes:
            with self._redis.pipeline() as pipe:
                pipe.watch(*names)  # type: ignore[no-untyped-call]
                if pipe.mget(names) != found:
                    raise redis.WatchError
                pipe.multi()
                for key, changed in changes.items():
                    if changed is None:
                        pipe.delete(self._prefix + key)
                        pipe.hdel(self._prefix + OUTAGES, key)
                    else:
                        pipe.set(self._prefix + key, msgspec.json.encode(changed), ex=KEPT_SECONDS)
                        if isinstance(changed, Circuit):
                            pipe.hset(self._prefix + OUTAGES, key, msgspec.json.encode(changed))
                            pipe.expire(self._prefix + OUTAGES, KEPT_SECONDS)
                pipe.execute()
        about_all = state if SENDER in keys else {**self._seen, **state}
        self._seen, self._alone = _changed(about_all, changes), False
        return result

    def _say_present(self) -> None:
        """Say now and then that this worker is there, and count those who did: their shares add up to the whole."""
        if time.monotonic() < self._say_present_at:
            return
        self._say_present_at = time.monotonic() + PRESENT_EVERY_SECONDS
        now, present = clock.seconds(), f"{self._prefix}@workers"
        with self._redis.pipeline() as pipe:
            pipe.zadd(present, {self._name: now})
            pipe.zremrangebyscore(present, "-inf", now - PRESENT_FOR_SECONDS)
            pipe.zcard(present)
            pipe.expire(present, KEPT_SECONDS)
            self._workers = max(int(pipe.execute()[2]), 1)


def current_outages(client: redis.Redis, mail_from: str) -> list[MailOutage]:
    """Where no mail goes now, and why; everywhere before a domain, the oldest first."""
    found = cast(dict[bytes, bytes], client.hgetall(f"{PREFIX}{sender_address(mail_from)}:{OUTAGES}"))
    kept = {key.decode(): msgspec.json.decode(state, type=Circuit) for key, state in found.items()}
    known = [
        outage(_where(key), one.since, one.about, one.code, one.said)
        for key, one in kept.items()
        if key != STANDSTILL or (CIRCUIT not in kept and is_sure(one, clock.seconds()))
    ]
    return sorted(known, key=lambda one: (one.where != EVERYWHERE, one.since, one.where))


def _where(key: str) -> str:
    """Of which domain a circuit is; of none where it is of all."""
    return "" if key == STANDSTILL else key.removeprefix(CIRCUIT).strip()


def _said(key: str, known: Bucket | Circuit | None) -> Circuit | None:
    """A circuit of which people are told; a standstill is one only once it is sure."""
    return known if isinstance(known, Circuit) and (key != STANDSTILL or known.failures) else None


def _say(state: State, changes: Changes, now: float) -> None:
    """Log when an outage begins, and when it ends."""
    for key, changed in changes.items():
        if not key.startswith(CIRCUIT):
            continue
        where, before = _where(key), _said(key, state.get(key))
        begun = _said(key, changed)
        if begun is not None and before is None:
            told = outage(where, begun.since, begun.about, begun.code, begun.said)
            log.error(
                "mail.stopped",
                where=told.where,
                about=told.about,
                code=told.code,
                said=told.said,
                what_to_do=told.what_to_do,
            )
        elif changed is None and before is not None:
            log.warning("mail.goes_again", where=where or EVERYWHERE, after_seconds=round(now - before.since, 1))


def _keys(domains: Sequence[str]) -> list[str]:
    """What a decision about mails to these domains looks at."""
    apart = list(dict.fromkeys(domains))
    return [CIRCUIT, STANDSTILL, SENDER, SLOTS, *apart, *map(circuit_of, apart)]


def _pace(state: Mapping[str, Known]) -> dict[str, Bucket | Circuit]:
    return {key: known for key, known in state.items() if not isinstance(known, Slots)}


def _slots(state: Mapping[str, Known]) -> Slots:
    found = state.get(SLOTS)
    return found if isinstance(found, Slots) else Slots()


def _read(keys: Sequence[str], found: Sequence[Any]) -> dict[str, Known]:
    return {key: _decoded(key, state) for key, state in zip(keys, found, strict=True) if state is not None}


def _decoded(key: str, state: bytes) -> Known:
    if key == SLOTS:
        return msgspec.json.decode(state, type=Slots)
    if key.startswith(CIRCUIT):
        return msgspec.json.decode(state, type=Circuit)
    return msgspec.json.decode(state, type=Bucket)


def _changed(state: Mapping[str, Known], changes: Mapping[str, Known | None]) -> dict[str, Known]:
    return {key: value for key, value in {**state, **changes}.items() if value is not None}


def _share(state: Known, workers: int) -> Known:
    """What one of so many workers may take of what they have together."""
    if isinstance(state, Slots):
        return Slots(None if state.limit is None else max(state.limit // workers, 1), state.since)
    if isinstance(state, Circuit):
        return state
    return replace(
        state, tokens=state.tokens / workers, lowered=None if state.lowered is None else state.lowered / workers
    )
