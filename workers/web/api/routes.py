"""Every act as a route: who asks, what is asked, done in a thread, answered or refused."""

import hashlib
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from config.errors import UserError
from config.keys import keys_in
from config.log import without_data
from config.runtime import Runtime
from config.words import as_json
from tasks import acts
from tasks.accounts import PERMISSIONS, Caller, Permission, permits
from tasks.accounts import Scope as ActScope
from tasks.acts import Act, perform
from tasks.acts.access import AccessAsked, PairsAsked
from tasks.acts.acting import tag_of
from tasks.acts.idempotency import FirstAnswer, once
from tasks.acts.paging import Begun
from workers.web.api import forms, problems, reading
from workers.web.api.doors import COSTS, Callers, Weight, make_bulkheads, weight_of
from workers.web.api.doorway import Doorway
from workers.web.api.problems import RefusedCall, refusal_of
from workers.web.bodies import Bodies, kind_of
from workers.web.exporting import Exports
from workers.web.paths import below, fields_in, path_of, prefixes

log = structlog.get_logger()

#: Where the API is, below `PUBLIC_URL`.
BASE = "/api/v1"

#: Octets of a body at most.
LONGEST_BODY = 1_000_000

#: Characters of an Idempotency-Key at most.
LONGEST_KEY = 200

#: What every answer says: it is for whoever asked, and is what its type says.
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class ActRoute:
    """An act at its path: `parts` are its segments, those in braces are fields."""

    act: Act[Any, Any]
    parts: tuple[str, ...]
    of_organisation: bool
    known: dict[str, reading.ActField]
    weight: Weight

    @property
    def path(self) -> str:
        """The path, below `BASE`."""
        return "/" + "/".join(self.parts)

    @property
    def in_path(self) -> list[str]:
        """The fields that stand in the path."""
        return [part[1:-1] for part in self.parts if part.startswith("{")]

    @property
    def has_body(self) -> bool:
        """Whether what is asked comes in a body."""
        return self.act.method not in {"GET", "HEAD"} and bool(self.known.keys() - self.in_path)

    @property
    def tagged(self) -> bool:
        """Whether its answers have an ETag: what shows one thing, and what changes it."""
        return self.act.conditional or (self.act.method == "GET" and self.weight is Weight.QUICK)


def route_of(act: Act[Any, Any]) -> ActRoute:
    """The route of an act."""
    permission: Permission = PERMISSIONS[act.name]
    of_organisation = permission.scope is ActScope.ORGANISATION
    path = f"organisations/{{organisation}}/{act.path}" if of_organisation else act.path.removeprefix("/")
    known = reading.fields_of(act.takes)
    return ActRoute(act, tuple(path.strip("/").split("/")), of_organisation, known, weight_of(act))


def every_route() -> list[ActRoute]:
    """All routes, those without fields in their path first."""
    found = [route_of(act) for act in acts.every().values()]
    return sorted(found, key=lambda route: [part.startswith("{") for part in route.parts])


@dataclass(frozen=True, slots=True)
class Call:
    """One request, ready to be done."""

    route: ActRoute
    caller: Caller
    organisation: str | None
    asked: Any
    expected: str | None = None
    key: str | None = None
    hashed: bytes = b""


class Api:
    """Answers requests below `BASE`. It is an ASGI application."""

    def __init__(self, runtime: Runtime, bodies: Bodies) -> None:
        self._runtime, self._bodies = runtime, bodies
        self._public_url = runtime.endpoints.public_url
        self._secrets = keys_in(runtime.endpoints.secret_key)
        self._prefix = path_of(self._public_url)
        self.bulkheads = make_bulkheads(runtime)
        self.callers = Callers(self.bulkheads[Weight.QUICK], runtime.settings.rollcall_api_rate)
        self._paths = [f"{path}{BASE}" for path in prefixes(self._public_url)]
        self.doorway = Doorway(self.bulkheads[Weight.ACCESS], self.callers, self._public_url, self._paths, HEADERS)
        self._routes = every_route()
        self.exports = Exports(self.bulkheads[Weight.EXPORT])

    def routes(self) -> list[Route]:
        """All of it, where `PUBLIC_URL` is and, should a proxy in front take its path away, at the root."""
        return [Route(f"{path}/{{rest:anything}}", self) for path in self._paths]

    def close(self) -> None:
        """Close the connections."""
        self.doorway.close()
        for bulkhead in self.bulkheads.values():
            bulkhead.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Every one of them is answered."""
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except Exception as problem:  # noqa: BLE001 - whatever it was, it is answered
            refusal = refusal_of(problem)
            if refusal is None:
                log.error("api.failed", **without_data(problem))  # noqa: TRY400 - a traceback may quote people's data
                refusal = RefusedCall(500, "Something is wrong here; the log of the web process says what.")
            elif refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
                log.warning("api.unavailable", **without_data(problem))
            answer = problems.response(self._public_url, refusal)
        finally:
            await request.close()
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        route, path = self._found(request)
        caller = await self.callers.caller(request, COSTS[route.weight])
        organisation = path.pop("organisation") if route.of_organisation else None
        bulkhead = self.bulkheads[route.weight]
        if not permits(caller, route.act.name, organisation):
            await bulkhead.ask(self._done, bulkhead.runtime, Call(route, caller, organisation, None))
        key, expected = _idempotency_key(request, route), _expected(request, route)
        asked, hashed = await self._asked(request, route, path)
        call = Call(route, caller, organisation, asked, expected, key, hashed)
        if route.weight is Weight.EXPORT:
            find = partial(perform, bulkhead.runtime, caller, route.act, asked, organisation)
            return await self.exports.answer(find, caller.who, organisation, only_head=request.method == "HEAD")
        if isinstance(asked, AccessAsked | PairsAsked) and "authorization" in request.headers:
            return await self.doorway.answer(bulkhead, request, caller, organisation or "", asked)
        do = self._done if key is None else self._done_once
        return _unchanged(request, await bulkhead.ask(do, bulkhead.runtime, call))

    def _found(self, request: Request) -> tuple[ActRoute, dict[str, str]]:
        try:
            parts = below(BASE, self._prefix, request.scope["raw_path"])
        except ValueError:
            raise RefusedCall(404, "There is nothing at this path.") from None
        fitting = [(route, path) for route in self._routes if (path := fields_in(route.parts, parts)) is not None]
        method = "GET" if request.method == "HEAD" else request.method
        for route, path in fitting:
            if route.act.method == method and (path == fitting[0][1] or reading.may_be(route.known, path)):
                return route, path
        if not fitting:
            raise RefusedCall(404, "There is nothing at this path.")
        fewest = min(len(path) for _, path in fitting)  # the path itself, where a name could be written like it
        allowed = {route.act.method for route, path in fitting if len(path) == fewest}
        raise RefusedCall(
            405,
            f"This path has {', '.join(sorted(allowed))}.",
            {"Allow": ", ".join(sorted(allowed | ({"HEAD"} if "GET" in allowed else set())))},
        )

    async def _asked(self, request: Request, route: ActRoute, path: dict[str, str]) -> tuple[Any, bytes]:
        """What is asked, and a hash of all of it."""
        if forms.has_file(route.known):
            asked, hashed = await forms.read(request, route.act.takes, route.known, path)
            return asked, _hash(request, hashed)
        query = reading.in_query(request.scope["query_string"], {} if route.has_body else route.known)
        if not route.has_body:
            return reading.read(route.act.takes, route.known, path, query, strict=False), _hash(request, b"")
        async with self._bodies.read(request, LONGEST_BODY) as body:
            if body or "content-type" in request.headers:
                _check_type(request)
            more = reading.in_body(body) if body else {}
            return reading.read(route.act.takes, route.known, path, more, strict=True), _hash(request, body)

    def _done(self, runtime: Runtime, call: Call, key: str | None = None) -> Response:
        act = call.route.act
        answer = perform(runtime, call.caller, act, call.asked, call.organisation, expected=call.expected, key=key)
        if isinstance(answer, Begun):
            whose = "" if call.organisation is None else f"organisations/{quote(call.organisation, safe='')}/"
            location = f"{self._public_url}{BASE}/{whose}{answer.location}"
            return Response(as_json(answer.document), 202, {"Location": location}, "application/json")
        if answer is None:
            return Response(status_code=204)
        headers = {"ETag": f'"{tag_of(answer)}"'} if call.route.tagged else None
        return Response(as_json(answer), act.status, headers, "application/json")

    def _done_once(self, runtime: Runtime, call: Call) -> Response:
        """Do it, unless the same was done before under the same key: then the answer is the first one."""
        assert call.key is not None  # noqa: S101 - the caller asked
        with once(runtime.engine, self._secrets, call.caller, call.organisation, call.key, call.hashed) as request:
            if request.first is not None:
                return _first(request.first)
            try:
                answer = self._done(runtime, call, key=str(request.request))
            except UserError as problem:
                refusal = refusal_of(problem)
                if refusal is None or refusal.status == HTTPStatus.FORBIDDEN:
                    raise
                answer = problems.response(self._public_url, refusal)
            request.first = FirstAnswer(answer.status_code, _packed(answer))
            return answer


def _packed(answer: Response) -> bytes:
    kept = {name: answer.headers[name] for name in ("content-type", "location", "etag") if name in answer.headers}
    return msgspec.msgpack.encode((kept, bytes(answer.body)))


def _first(first: FirstAnswer) -> Response:
    headers, body = msgspec.msgpack.decode(first.answer, type=tuple[dict[str, str], bytes])
    return Response(body, first.status, headers | {"Idempotency-Replayed": "true"})


def _hash(request: Request, body: bytes) -> bytes:
    asked = b"\0".join(
        [request.method.encode(), request.scope["raw_path"], request.headers.get("if-match", "").encode(), body]
    )
    return hashlib.sha256(asked).digest()


def _check_type(request: Request) -> None:
    """Raise `RefusedCall` for a body that is not JSON in UTF-8, as it is."""
    if kind_of(request) != "application/json":
        raise RefusedCall(415, "The body is to be application/json, in UTF-8 and not compressed.")


def _idempotency_key(request: Request, route: ActRoute) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None or not (route.act.method == "POST" and route.act.changes):
        return None
    if not 0 < len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise RefusedCall(422, f"Idempotency-Key has 1 to {LONGEST_KEY} characters of printable ASCII.")
    return key


def _expected(request: Request, route: ActRoute) -> str | None:
    """The tag of what is to be changed, and nothing else (If-Match). `*` is whatever is there."""
    said = request.headers.get("if-match")
    if said is None or said.strip() == "*":
        return None
    if not route.act.conditional:
        raise RefusedCall(422, "This does not take If-Match.")
    tags = [tag.strip() for tag in said.split(",")]
    if len(tags) != 1 or not (tags[0].startswith('"') and tags[0].endswith('"') and len(tags[0]) > 1):
        raise RefusedCall(422, "If-Match is to be one ETag that was answered, in quotes.")
    return tags[0][1:-1]


def _unchanged(request: Request, answer: Response) -> Response:
    """304 where the caller has it as it is."""
    tag, had = answer.headers.get("etag"), request.headers.get("if-none-match")
    if tag is None or had is None or request.method not in {"GET", "HEAD"}:
        return answer
    if had.strip() == "*" or tag in {one.strip().removeprefix("W/") for one in had.split(",")}:
        return Response(status_code=304, headers={"ETag": tag})
    return answer
