"""`GET access`, which a platform asks at the door of every course: answered in the event loop, by one statement that
many share the way to.

What is taken here is a plain request by somebody who is remembered and may ask more; the rest, and whatever goes wrong
here, takes the way of every other act (`workers.web.api.routes`), which says why not.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from hashlib import sha256
from operator import itemgetter
from typing import Any
from urllib.parse import unquote

import msgspec
import psycopg
import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from config import lookups
from config.errors import NotFound, UserError
from config.log import without_data
from config.lookups import LookupLost, Lookups, RawRow
from config.runtime import Runtime
from tasks.accounts import Caller, digest, permits
from tasks.acts import perform
from tasks.acts.access import (
    BY_TOKEN,
    AccessAsked,
    FoundByToken,
    PairsAsked,
    PairsByToken,
    ask,
    ask_many,
    by_token,
    pairs_by_token,
)
from workers.web.api import problems
from workers.web.api.doors import COSTS, Callers, Weight, token_in
from workers.web.asking import Bulkhead, Busy
from workers.web.connections import LONGEST_HEADERS, Reply, place_of

log = structlog.get_logger()

#: Seconds between two tries to connect.
AGAIN_SECONDS = 1.0

#: The first line of a request, in printable ASCII (RFC 9112), below these paths.
_REQUEST = (
    r"GET (?:%s)/organisations/(?P<organisation>[^/?#\s]+)/access\?"
    r"(?:learner=(?P<learner>[^&#\s]+)&course=(?P<course>[^&#\s]+)"
    r"|course=(?P<course_first>[^&#\s]+)&learner=(?P<learner_last>[^&#\s]+)) HTTP/1\.1"
)

#: The rest of one without a body, whose connection stays open.
_HEADERS = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ -~\t]*\r\n){1,50}\r\n", re.ASCII)

#: Headers that are remembered, by a hash of them: whoever asks much has always the same.
MOST_HEADERS = 1000

#: Replies that are remembered, by all that was found and the organisation: they say nothing of who was asked about.
MOST_REPLIES = 1000

#: Headers with which a request is no plain one.
_NOT_PLAIN = {"content-length", "expect", "if-match", "te", "trailer", "transfer-encoding", "upgrade"}


class Doorway:
    """Answers what it can, with the connection of this bulkhead. `below`: the paths of the API; `headers`: those of
    each of its answers."""

    def __init__(
        self, bulkhead: Bulkhead, callers: Callers, public_url: str, below: Iterable[str], headers: Mapping[str, str]
    ) -> None:
        self._bulkhead, self._callers, self._public_url = bulkhead, callers, public_url
        self._headers = b"".join(f"{name.lower()}: {value}\r\n".encode() for name, value in headers.items()) + b"\r\n"
        self._request = re.compile(_REQUEST % "|".join(map(re.escape, below)), re.ASCII)
        self._hashed: dict[bytes, bytes] = {}
        said = ("hash", "of", "learner", "course")
        self._in_order = itemgetter(*(said.index(name) for name in lookups.numbered(BY_TOKEN)[1]))
        self._replies: dict[tuple[str, RawRow], Reply] = {}
        self._lookups: Lookups | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._not_before = 0.0

    def take(self, octets: bytes, reply: Callable[[Reply | None], None]) -> bool:
        """Whether this is taken; then `reply` is called later, with None if it is to go the other way after all."""
        if b"/access?" not in octets or len(octets) > LONGEST_HEADERS or not octets.isascii():
            return False
        line, _, headers = octets.partition(b"\r\n")
        found = self._request.fullmatch(line.decode("ascii"))
        if found is None or (hashed := self._hash_in(headers)) is None:
            return False
        if self._lookups is None or self._lookups.lost:
            self._connect()
            return False
        try:
            return self._ask(self._lookups, hashed, *_asked(found), reply)
        except (LookupLost, UnicodeDecodeError):
            return False

    def _hash_in(self, headers: bytes) -> bytes | None:
        """The hash of the token in the headers of a plain request; None if it is none, or has no such token."""
        seen = sha256(headers).digest()
        if (hashed := self._hashed.get(seen)) is not None:
            return hashed
        said = headers.decode("ascii")
        if _HEADERS.fullmatch(said) is None or (token := _token(said)) is None:
            return None
        if len(self._hashed) >= MOST_HEADERS:
            self._hashed.clear()
        hashed = self._hashed[seen] = digest(token)
        return hashed

    def _ask(
        self,
        lookup: Lookups,
        hashed: bytes,
        organisation: str,
        asked: AccessAsked,
        reply: Callable[[Reply | None], None],
    ) -> bool:
        if "\0" in organisation + asked.learner + asked.course:
            return False
        if not self._callers.admits(hashed, COSTS[Weight.ACCESS]):
            return False
        said = (hashed, organisation.encode(), asked.learner.encode(), asked.course.encode())
        lookup.ask(self._in_order(said), partial(self._heard, lookup, reply, hashed, organisation, asked))
        return True

    async def answer(
        self, bulkhead: Bulkhead, request: Request, caller: Caller, organisation: str, asked: Any
    ) -> Response:
        """The answer to somebody who may ask, found in a thread. Raises `RefusedCall`, `NotFound`, and what a bulkhead
        raises."""
        hashed = digest(token_in(request.headers["authorization"]) or "")
        found = await bulkhead.ask(_found, bulkhead.runtime, hashed, organisation, asked)
        if found is None:
            self._callers.forget(hashed)
            raise self._callers.unknown(place_of(request.client.host if request.client else ""))
        if found.is_here:
            answer: Any = found.answer(organisation, asked)
        else:  # in another cell, or nowhere
            what: Any = ask if isinstance(asked, AccessAsked) else ask_many
            answer = await bulkhead.ask(perform, bulkhead.runtime, caller, what, asked, organisation)
        return Response(msgspec.json.encode(answer), media_type="application/json")

    def close(self) -> None:
        """Close the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._lookups is not None:
            self._lookups.close()

    def _heard(
        self,
        lookup: Lookups,
        reply: Callable[[Reply | None], None],
        hashed: bytes,
        organisation: str,
        asked: AccessAsked,
        rows: list[RawRow] | None,
    ) -> None:
        answer = None
        if rows == []:
            self._callers.forget(hashed)
        elif rows and (answer := self._replies.get((organisation, rows[0]))) is None:
            try:
                answer = self._reply(rows[0], FoundByToken(*lookup.loaded(rows[0])), organisation, asked)
            except Exception as problem:  # noqa: BLE001 - whatever it was, it is answered the other way
                log.error("api.failed", **without_data(problem))  # noqa: TRY400 - a traceback may quote people's data
        reply(answer)

    def _reply(self, row: RawRow, found: FoundByToken, organisation: str, asked: AccessAsked) -> Reply | None:
        if not permits(found.caller, "access.ask", organisation):
            return None
        try:
            if not found.is_here:  # but in another cell, or nowhere
                return None
            body = msgspec.json.encode(found.answer(organisation, asked))
        except NotFound as problem:
            answer = problems.response(self._public_url, problems.RefusedCall(404, str(problem)))
            lines = [b"%s: %s\r\n" % header for header in answer.raw_headers]
            return Reply(answer.status_code, b"".join([*lines, self._headers]), bytes(answer.body))
        said = b"content-length: %d\r\ncontent-type: application/json\r\n" % len(body)
        if len(self._replies) >= MOST_REPLIES:
            self._replies.clear()
        reply = self._replies[organisation, row] = Reply(200, said + self._headers, body)
        return reply

    def _connect(self) -> None:
        """Make a connection, unless that was tried just now."""
        now = time.monotonic()
        if now >= self._not_before and (self._connecting is None or self._connecting.done()):
            self._not_before = now + AGAIN_SECONDS
            self._connecting = asyncio.create_task(self._connected())

    async def _connected(self) -> None:
        with suppress(Busy, SQLAlchemyError, psycopg.Error, UserError):  # the other way says so
            connection = await self._bulkhead.ask(lookups.prepare, self._bulkhead.runtime.engine, BY_TOKEN)
            self._lookups = Lookups(connection)


def _token(lines: str) -> str | None:
    """The token in the headers of a plain request; None if it is none, or has no such token."""
    hosts, tokens = 0, list[str | None]()
    for line in lines.split("\r\n")[:-2]:
        name, _, value = line.partition(":")
        match name.lower():
            case "host":
                hosts += 1
            case "authorization":
                tokens.append(token_in(value))
            case "connection" if value.strip().lower() != "keep-alive":
                return None
            case other if other in _NOT_PLAIN:
                return None
    return tokens[0] if hosts == 1 and len(tokens) == 1 else None


def _found(
    runtime: Runtime, hashed: bytes, organisation: str, asked: AccessAsked | PairsAsked
) -> FoundByToken | PairsByToken | None:
    find: Any = by_token if isinstance(asked, AccessAsked) else pairs_by_token
    try:
        return find(runtime.engine, hashed, organisation, asked)  # type: ignore[no-any-return]
    except DBAPIError as problem:  # nobody asks first whether a connection is there still: that takes as long again
        if not problem.connection_invalidated:
            raise
        return find(runtime.engine, hashed, organisation, asked)  # type: ignore[no-any-return]


def _asked(found: re.Match[str]) -> tuple[str, AccessAsked]:
    """What is asked, and of which organisation. Raises `UnicodeDecodeError`."""
    organisation, learner, course, course_first, learner_last = found.groups()
    learner, course = learner or learner_last, course or course_first
    return unquote(organisation, errors="strict"), AccessAsked(_of_form(learner), _of_form(course))


def _of_form(value: str) -> str:
    """A value in a query, as `parse_qsl` reads it. Raises `UnicodeDecodeError`."""
    return unquote(value.replace("+", " "), errors="strict")
