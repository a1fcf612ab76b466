"""The way in over HTTP: `POST /events`, CloudEvents in structured or batched mode, signed (Standard Webhooks).

202 is said once every event of a request is stored, be it applied or kept with the reason why not; whatever else is
said, sending the same again does no harm (R32). Whether a request is signed is decided before anything in it is read.
"""

from collections.abc import Sequence
from hashlib import sha256
from threading import Lock
from urllib.parse import urlsplit

import anyio
import msgspec
import structlog
from anyio import CapacityLimiter, to_thread
from prometheus_client import Counter
from prometheus_client.registry import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.database import transaction
from config.log import without_data
from config.runtime import Runtime
from config.streams import make_redis
from config.webhooks import BATCHED, PATH, STRUCTURED, Claim, NotSigned, Signatures
from tasks.intake import UNREADABLE, Taken, give_up, set_aside, take
from workers.suspects import MOST_TRIES, Suspects

log = structlog.get_logger()

#: Events in one batch at most.
MOST_EVENTS = 5000

#: Requests at once at most; and what of their bodies is kept at once, in bodies of the largest size.
MOST_REQUESTS = 200
MOST_BODIES = 8

#: Requests that are taken at once: each has a thread and a connection to the database meanwhile.
TAKEN_AT_ONCE = 4

#: Reasons told of at most.
MOST_REASONS = 10

#: Seconds after which to try again where there was too much to do, and where the database was away.
TOO_MUCH, AWAY = 1, 5


class _NotTaken(Exception):
    """A request that is answered with a sentence and no more."""

    def __init__(self, status: int, says: str, **headers: object) -> None:
        super().__init__(says)
        self.answer = JSONResponse(
            {"error": says}, status, {name.replace("_", "-"): str(value) for name, value in headers.items()}
        )


def routes(runtime: Runtime, registry: CollectorRegistry) -> list[Route]:
    """The way in, where `PUBLIC_URL` is and, should a proxy in front take its path away, at the root."""
    way = _Way(runtime, registry)
    behind = {"", urlsplit(runtime.endpoints.public_url).path.rstrip("/")}
    return [Route(f"{path}{PATH}", way.answer, methods=["POST"]) for path in behind]


class _Way:
    """Takes requests, so many at once that memory stays bounded."""

    def __init__(self, runtime: Runtime, registry: CollectorRegistry) -> None:
        self._runtime = runtime
        self._most = runtime.settings.rollcall_events_bytes
        self._signatures = Signatures(runtime.events_keys)
        self._taking = CapacityLimiter(TAKEN_AT_ONCE)
        self._suspects = Suspects(make_redis(runtime.endpoints.redis_url), needed=False)
        self._alone = Lock()
        self._names: list[str] = []
        self._requests = self._kept = 0
        self._answers = Counter(
            "rollcall_events_posts", "Answers to what was posted to /events", ["status"], registry=registry
        )

    async def answer(self, request: Request) -> Response:
        """One request. Every one of them is answered."""
        body = bytearray()
        self._requests += 1
        try:
            answer = await self._taken(request, body)
        except _NotTaken as problem:
            answer = problem.answer
        except NotSigned as problem:
            answer = JSONResponse({"error": str(problem)}, 401)
        except ClientDisconnect:
            answer = JSONResponse({"error": "The body ended too early."}, 400)
        except SQLAlchemyError as problem:  # the database is away: whatever else it says is about one event
            log.warning("posted.not_stored", **without_data(problem))
            again = {"Retry-After": str(AWAY)}
            answer = JSONResponse({"error": "The events cannot be stored now: send all of them again."}, 503, again)
        except Exception as problem:  # noqa: BLE001 - whatever it was, it is answered
            log.error("posted.not_taken", **without_data(problem))  # noqa: TRY400 - a traceback may quote people's data
            answer = JSONResponse({"error": "The events could not be taken: send all of them again."}, 500)
        finally:
            self._requests -= 1
            self._kept -= len(body)
        self._answers.labels(str(answer.status_code)).inc()
        return answer

    async def _taken(self, request: Request, body: bytearray) -> JSONResponse:
        if self._requests > MOST_REQUESTS:
            raise _NotTaken(503, "Too many requests at once.", Retry_After=TOO_MUCH)
        batched = _is_batch(request)
        claim = Claim.read(request.headers)
        await self._read(request, body)
        return await to_thread.run_sync(self._take, claim, bytes(body), batched, limiter=self._taking)

    async def _read(self, request: Request, body: bytearray) -> None:
        """Read a body, no more of it than may be and no longer than is bearable."""
        too_large = _NotTaken(413, f"The body is larger than {self._most:,} bytes.")
        if int(request.headers.get("content-length", 0)) > self._most:  # a number, or the server had refused it
            raise too_large
        seconds = self._runtime.settings.rollcall_events_seconds
        try:
            with anyio.fail_after(seconds):
                async for piece in request.stream():
                    body += piece
                    self._kept += len(piece)
                    if len(body) > self._most:
                        raise too_large
                    if self._kept > MOST_BODIES * self._most:
                        raise _NotTaken(503, "Too much at once.", Retry_After=TOO_MUCH)
        except TimeoutError:
            raise _NotTaken(408, f"The body took longer than {seconds:g} seconds.", Connection="close") from None

    def _take(self, claim: Claim, body: bytes, batched: bool) -> JSONResponse:
        """Take what is signed. A body that came before, and whose process never said what became of it, may be why: its
        events are then taken one by one, and no other such body beside them."""
        try:
            self._signatures.check(claim, body)
        except UnicodeDecodeError:
            raise _NotTaken(400, "The body is not UTF-8.") from None
        name = f"post:{sha256(body).hexdigest()}"
        beside = name in self._names  # the same is being taken here and now: it has not come back yet, that is all
        self._names.append(name)
        try:
            with self._suspects.trying(name) as tries:
                suspect = tries > 1 and not beside
                return self._taken_alone(name, body, batched) if suspect else self._taken_at_once(body, batched)
        except _NotTaken:
            self._suspects.forget(name)
            raise
        finally:
            self._names.remove(name)

    def _taken_at_once(self, body: bytes, batched: bool) -> JSONResponse:
        events = self._events(body, batched)
        slice_ = self._runtime.settings.rollcall_ingress_batch
        parts = [events[first : first + slice_] for first in range(0, len(events), slice_)]
        return self._answered(len(events), [self._stored([bytes(event) for event in part]) for part in parts])

    def _taken_alone(self, name: str, body: bytes, batched: bool) -> JSONResponse:
        with self._alone:
            with self._suspects.trying(f"{name}:read") as tries:
                if tries > MOST_TRIES:
                    set_aside(self._runtime.engine, [(body, UNREADABLE)])
                    raise _NotTaken(400, f"Nothing was taken: {UNREADABLE}.")
                events = self._events(body, batched)
            taken = [self._tried(bytes(event)) for event in events]
        malformed = [(at, one) for at, one in enumerate(taken) if one.malformed]
        reasons = tuple((at, reason) for at, one in malformed for _, reason in one.reasons)
        new, held = sum(one.new for one in taken), sum(one.held for one in taken)
        repeated = sum(one.repeated for one in taken)
        return self._answered(len(events), [Taken(new, repeated, held, len(malformed), reasons)])

    def _tried(self, event: bytes) -> Taken:
        with transaction(self._runtime.engine):
            pass  # where the database is away, no event is to blame
        with self._suspects.trying(f"event:{sha256(event).hexdigest()}") as tries:
            if tries <= MOST_TRIES:
                return self._stored([event])
            give_up(self._runtime.engine, self._runtime.settings, event, readable=tries == MOST_TRIES + 1)
            return Taken(1, 0, 1, 0)

    def _events(self, body: bytes, batched: bool) -> Sequence[bytes | msgspec.Raw]:
        if not batched:
            return [body]
        try:
            events = msgspec.json.decode(body, type=list[msgspec.Raw])
        except (msgspec.DecodeError, RecursionError) as problem:
            detail = f"no batch, which is a JSON array: {problem}"
            set_aside(self._runtime.engine, [(body, detail)])
            raise _NotTaken(400, f"Nothing was taken: the body is {detail}.") from None
        if len(events) > MOST_EVENTS:
            raise _NotTaken(
                413, f"There are {len(events):,} events in it, and {MOST_EVENTS:,} at most are taken at once."
            )
        return events

    def _stored(self, bodies: Sequence[bytes]) -> Taken:
        return take(self._runtime.engine, self._runtime.settings, bodies)

    def _answered(self, events: int, taken: Sequence[Taken]) -> JSONResponse:
        malformed = sum(one.malformed for one in taken)
        slice_ = self._runtime.settings.rollcall_ingress_batch
        reasons = [
            f"event {part * slice_ + position + 1}: {reason}"
            for part, one in enumerate(taken)
            for position, reason in one.reasons
        ][:MOST_REASONS]
        counts = {
            "events": events,
            "new": sum(one.new for one in taken),
            "repeated": sum(one.repeated for one in taken),
            "held": sum(one.held for one in taken),
            "malformed": malformed,
        }
        if not malformed:
            return JSONResponse(counts, 202)
        if malformed < events:
            return JSONResponse(counts | {"reasons": reasons}, 202)
        return JSONResponse({"error": f"Nothing was taken: {'; '.join(reasons)}.", **counts}, 400)


def _is_batch(request: Request) -> bool:
    """Whether it is a batch. Raises `_NotTaken` for what is neither that nor one event."""
    kind, *parameters = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    charsets = {part.removeprefix("charset=").strip('"') for part in parameters if part.startswith("charset=")}
    plain = request.headers.get("content-encoding", "identity").lower() == "identity"
    binary = kind == STRUCTURED[1] and any(name.startswith("ce-") for name in request.headers)
    if kind not in {*STRUCTURED, BATCHED} or not charsets <= {"utf-8", "utf8"} or not plain or binary:
        raise _NotTaken(
            415,
            f"Taken are {STRUCTURED[0]} (one event, whole) and {BATCHED} (an array of events), in UTF-8 and not"
            " compressed; the binary mode, with the event in ce- headers, is not.",
        )
    return kind == BATCHED
