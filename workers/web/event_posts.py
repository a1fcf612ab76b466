"""The way in over HTTP: `POST /events`, CloudEvents in structured or batched mode, signed (Standard Webhooks).

202 is said once every event of a request is stored, be it applied or kept with the reason why not; whatever else is
said, sending the same again does no harm (R32). Whether a request is signed is decided before anything in it is read.
"""

import time
from collections.abc import Sequence
from hashlib import sha256
from threading import Lock

import msgspec
import structlog
from anyio import CapacityLimiter, to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.counting import counts
from config.database import transaction
from config.log import without_data
from config.signed_events import BATCHED, PATH, STRUCTURED, Claim, EventsKey, NotSigned, Signatures, signs_for
from config.streams import make_redis
from tasks.intake import UNREADABLE, BatchResult, cell_in, give_up, process_everywhere, set_aside
from workers.suspects import MOST_TRIES, Suspects
from workers.web.asking import Bulkhead, Busy, is_busy
from workers.web.bodies import SMALL, Bodies, NotRead, kind_of
from workers.web.paths import prefixes

log = structlog.get_logger()

#: Events in one batch at most.
MOST_EVENTS = 5000

#: Bodies larger than `SMALL` whose signature is checked at once; smaller ones are no work.
CHECKED_AT_ONCE = 2

#: Reasons told of at most.
MOST_REASONS = 10

#: Seconds after which to try again where there was too much to do, and where the database was away.
TOO_MUCH, AWAY = 2, 5


class _RequestRefused(Exception):
    """A request that is answered with a sentence and no more."""

    def __init__(self, status: int, says: str) -> None:
        super().__init__(says)
        self.answer = JSONResponse({"error": says}, status)


def routes(bulkhead: Bulkhead, bodies: Bodies) -> list[Route]:
    """The way in, where `PUBLIC_URL` is and, should a proxy in front take its path away, at the root."""
    way = _Way(bulkhead, bodies)
    behind = prefixes(bulkhead.runtime.endpoints.public_url)
    return [Route(f"{path}{PATH}", way.answer, methods=["POST"]) for path in behind]


class _Way:
    """Takes requests."""

    def __init__(self, bulkhead: Bulkhead, bodies: Bodies) -> None:
        self._bulkhead, self._bodies = bulkhead, bodies
        self._runtime = bulkhead.runtime
        self._signatures = Signatures(self._runtime.events_keys)
        self._checking = CapacityLimiter(CHECKED_AT_ONCE)
        self._warned = False
        self._suspects = Suspects(make_redis(self._runtime.endpoints.redis_url), needed=False)
        self._alone = Lock()
        self._names: list[str] = []

    async def answer(self, request: Request) -> Response:
        """One request. Every one of them is answered."""
        came = time.monotonic()
        try:
            answer = await self._store_signed(request)
        except _RequestRefused as problem:
            answer = problem.answer
        except NotRead as problem:
            answer = JSONResponse({"error": str(problem)}, problem.status, problem.headers)
        except NotSigned as problem:
            answer = JSONResponse({"error": str(problem)}, 401)
        except (SQLAlchemyError, Busy) as problem:  # the database is away: whatever else it says is about one event
            log.warning("posted.not_stored", **without_data(problem))
            again = {"Retry-After": str(TOO_MUCH if is_busy(problem) else AWAY)}
            answer = JSONResponse({"error": "The events cannot be stored now: send all of them again."}, 503, again)
        except Exception as problem:  # noqa: BLE001 - whatever it was, it is answered
            log.error("posted.not_taken", **without_data(problem))  # noqa: TRY400 - a traceback may quote people's data
            answer = JSONResponse({"error": "The events could not be taken: send all of them again."}, 500)
        if answer.status_code == 202:
            counts.observe("rollcall_event_effect_seconds", time.monotonic() - came, door="http")
        counts.count("rollcall_events_posts_total", status=str(answer.status_code))
        return answer

    async def _store_signed(self, request: Request) -> JSONResponse:
        batched = _is_batch(request)
        claim = Claim.read(request.headers)
        async with self._bodies.read(request, self._runtime.settings.rollcall_events_bytes) as body:
            only = signs_for(await self._signed_by(claim, body))
            return await self._bulkhead.ask(self._store_body, body, batched, only)

    async def _signed_by(self, claim: Claim, body: bytes) -> list[EventsKey]:
        try:
            if len(body) <= SMALL:
                keys = self._signatures.check(claim, body)
            else:
                keys = await to_thread.run_sync(self._signatures.check, claim, body, limiter=self._checking)
        except UnicodeDecodeError:
            raise _RequestRefused(400, "The body is not UTF-8.") from None
        if not self._warned and all(key.old for key in keys):
            self._warned = True
            log.warning("posted.signed_with_secret_key", do="sign with what `rollcall events key` prints")
        return keys

    def _store_body(self, body: bytes, batched: bool, only: frozenset[str] | None) -> JSONResponse:
        """Take what is signed. A body that came before, and whose process never said what became of it, may be why: its
        events are then taken one by one, and no other such body beside them."""
        name = f"post:{sha256(body).hexdigest()}"
        beside = name in self._names  # the same is being taken here and now: it has not come back yet, that is all
        self._names.append(name)
        try:
            with self._suspects.trying(name) as tries:
                if tries > 1 and not beside:
                    return self._store_one_by_one(name, body, batched, only)
                return self._store_at_once(body, batched, only)
        except _RequestRefused:
            self._suspects.forget(name)
            raise
        finally:
            self._names.remove(name)

    def _store_at_once(self, body: bytes, batched: bool, only: frozenset[str] | None) -> JSONResponse:
        events = self._events(body, batched, only)
        slice_ = self._runtime.settings.rollcall_ingress_batch
        parts = [events[first : first + slice_] for first in range(0, len(events), slice_)]
        return _answered(sum((self._stored([bytes(event) for event in part], only) for part in parts), BatchResult()))

    def _store_one_by_one(self, name: str, body: bytes, batched: bool, only: frozenset[str] | None) -> JSONResponse:
        with self._alone:
            with self._suspects.trying(f"{name}:read") as tries:
                if tries > MOST_TRIES:
                    set_aside(self._runtime.engine, [(body, UNREADABLE)], only=only)
                    raise _RequestRefused(400, f"Nothing was taken: {UNREADABLE}.")
                events = self._events(body, batched, only)
            return _answered(sum((self._tried(bytes(event), only) for event in events), BatchResult()))

    def _tried(self, event: bytes, only: frozenset[str] | None) -> BatchResult:
        with transaction(self._runtime.engine):
            pass  # where the database is away, no event is to blame
        with self._suspects.trying(f"event:{sha256(event).hexdigest()}") as tries:
            if tries <= MOST_TRIES:
                return self._stored([event], only)
            there = cell_in(self._runtime, event)
            give_up(there.engine, there.settings, event, readable=tries == MOST_TRIES + 1)
            return BatchResult(events=1, new=1, deferred=1)

    def _events(self, body: bytes, batched: bool, only: frozenset[str] | None) -> Sequence[bytes | msgspec.Raw]:
        if not batched:
            return [body]
        try:
            events = msgspec.json.decode(body, type=list[msgspec.Raw])
        except (msgspec.DecodeError, RecursionError) as problem:
            detail = f"no batch, which is a JSON array: {problem}"
            set_aside(self._runtime.engine, [(body, detail)], only=only)
            raise _RequestRefused(400, f"Nothing was taken: the body is {detail}.") from None
        if len(events) > MOST_EVENTS:
            raise _RequestRefused(
                413, f"There are {len(events):,} events in it, and {MOST_EVENTS:,} at most are taken at once."
            )
        return events

    def _stored(self, bodies: Sequence[bytes], only: frozenset[str] | None) -> BatchResult:
        done, left = process_everywhere(self._runtime, bodies, only=only)
        if left:  # their organisation is on its way to another cell, or that is away
            raise Busy
        return done


def _answered(done: BatchResult) -> JSONResponse:
    counts = {
        "events": done.events,
        "new": done.new,
        "repeated": done.repeated,
        "held": done.deferred,
        "malformed": done.malformed,
        **({"refused": done.refused} if done.refused else {}),
    }
    reasons = [f"event {at + 1}: {reason}" for at, reason in done.reasons[:MOST_REASONS]]
    if not reasons:
        return JSONResponse(counts, 202)
    if done.malformed + done.refused < done.events:
        return JSONResponse(counts | {"reasons": reasons}, 202)
    error = f"Nothing was taken: {'; '.join(reasons)}."
    return JSONResponse({"error": error, **counts}, 400 if done.malformed else 403)


def _is_batch(request: Request) -> bool:
    """Whether it is a batch. Raises `_RequestRefused` for what is neither that nor one event."""
    kind = kind_of(request)
    binary = kind == STRUCTURED[1] and any(name.startswith("ce-") for name in request.headers)
    if kind not in {*STRUCTURED, BATCHED} or binary:
        raise _RequestRefused(
            415,
            f"Taken are {STRUCTURED[0]} (one event, whole) and {BATCHED} (an array of events), in UTF-8 and not"
            " compressed; the binary mode, with the event in ce- headers, is not.",
        )
    return kind == BATCHED
