"""Who asks, and how much of this process each kind of act may use.

Each kind has a bulkhead of its own, with its own threads and connections: an export, or a long list, takes nothing from
a toggle.
"""

import time
from collections import OrderedDict
from dataclasses import replace
from enum import StrEnum
from typing import Any, get_args, get_origin

from starlette.requests import Request

from config.database import autocommit
from config.runtime import Runtime
from tasks import accounts
from tasks.accounts import Caller, TokenUses
from tasks.acts import Act
from tasks.acts.paging import Page, Stream
from workers.web.api.limits import STRANGERS, STRANGERS_AT_ONCE, Buckets
from workers.web.api.problems import RefusedCall
from workers.web.api.reading import fields_of
from workers.web.asking import Bulkhead
from workers.web.connections import place_of
from workers.web.signing_in import Visitors

#: Seconds for which it is remembered whose a token is: a revoked one is refused after that.
REMEMBERED_SECONDS = 1.0

#: Seconds between two times that the last use of each token is written down.
WRITTEN_SECONDS = 60.0

#: Tokens remembered at most.
MOST_REMEMBERED = 10_000

_NOBODY: tuple[float, Caller | None] = (0.0, None)
#: The header by which a page of ours shows that a request that changes something is its own: the key of its forms.
CSRF_HEADER = "X-CSRF-Token"

_SAFE = {"GET", "HEAD"}

_TOO_MANY = "Too many requests without a token that holds come from this address: ask again later."
_BEARER = 'Bearer realm="rollcall"'


class Weight(StrEnum):
    """How much an act takes of the database, as far as that is known before."""

    ACCESS = "access"
    QUICK = "quick"
    LIST = "list"
    EXPORT = "export"


#: What one request takes of a token's bucket.
COSTS = {Weight.ACCESS: 1, Weight.QUICK: 2, Weight.LIST: 10, Weight.EXPORT: 100}


def weight_of(act: Act[Any, Any]) -> Weight:
    """The weight of an act: by what it answers, and whether it takes many things at once."""
    if act.name == "access.ask":
        return Weight.ACCESS
    answers = [act.gives, *get_args(act.gives)]
    if Stream in answers:
        return Weight.EXPORT
    many = any(field.many for field in fields_of(act.takes).values())
    return Weight.LIST if many or any(get_origin(one) in {Page, list} for one in answers) else Weight.QUICK


def make_bulkheads(runtime: Runtime) -> dict[Weight, Bulkhead]:
    """The bulkheads of the API. An act with an Idempotency-Key has two connections."""
    return {
        Weight.ACCESS: Bulkhead(runtime, "web access", at_once=8, wait=1, seconds=3, statement=2, kept=8, ping=False),
        Weight.QUICK: Bulkhead(runtime, "web api", at_once=8, wait=2, seconds=20, statement=10, connections=2, kept=4),
        Weight.LIST: Bulkhead(runtime, "web lists", at_once=4, wait=3, seconds=60, statement=30, connections=2),
        Weight.EXPORT: Bulkhead(runtime, "web exports", at_once=6, wait=3, seconds=60, statement=None),
    }


def token_in(authorization: str) -> str | None:
    """The token in a header `Authorization`."""
    kind, _, token = authorization.strip().partition(" ")
    return (token.strip() or None) if kind.lower() == "bearer" else None


class Callers:
    """Whose tokens and sessions these are, and how much they may still ask."""

    def __init__(self, bulkhead: Bulkhead, rate: float) -> None:
        self._bulkhead, self._visitors = bulkhead, Visitors(bulkhead.runtime)
        self._known: OrderedDict[bytes, tuple[float, Caller | None]] = OrderedDict()
        self._rates = Buckets(2 * rate, rate)
        self._strangers = Buckets(STRANGERS_AT_ONCE, STRANGERS)
        self._uses, self._written = TokenUses(), time.monotonic()

    async def caller(self, request: Request, cost: float) -> Caller:
        """Who asks. Raises `RefusedCall` for somebody without a token or session that holds, and one who asks too much.
        Where there is a token, the session does not count."""
        address = request.client.host if request.client else ""
        place = place_of(address)
        if "authorization" not in request.headers and self._visitors.session(request):
            return self._within_rate(await self._of_session(request, place), cost)
        token = token_in(request.headers.get("authorization", ""))
        if token is None:
            self._count(place)
            raise RefusedCall(401, "Show a token: Authorization: Bearer rck_….", {"WWW-Authenticate": _BEARER})
        found = await self._of(token, place)
        if found is None:
            raise self.unknown(place)
        return self._within_rate(replace(found, address=address or None), cost)

    def _within_rate(self, caller: Caller, cost: float) -> Caller:
        if seconds := self._rates.wait(caller.who, cost):
            raise RefusedCall(429, "Too much is asked as this caller: ask again later.", {"Retry-After": str(seconds)})
        return caller

    async def _of_session(self, request: Request, place: str) -> Caller:
        """Who is signed in. A browser sends its cookie whoever has it ask, so a page of ours shows that it does."""
        safe = request.method in _SAFE
        key = request.headers.get(CSRF_HEADER, "")
        if not self._visitors.asked_by_us(request, safe=safe) or not (safe or self._visitors.is_key(request, key)):
            raise RefusedCall(403, f"This was not asked by a page of ours, which sends {CSRF_HEADER}.")
        if self._strangers.is_empty(place):
            raise RefusedCall(429, _TOO_MANY, {"Retry-After": "1"})
        found = await self._bulkhead.ask(self._visitors.caller, self._bulkhead.runtime, request)
        if found is None:
            self._count(place)
            raise RefusedCall(401, "The session has ended: sign in again.", {"WWW-Authenticate": _BEARER})
        return found

    def unknown(self, place: str) -> RefusedCall:
        """The refusal of a token that is not known, which is counted. Raises `RefusedCall` if there are too many."""
        self._count(place)
        why = {"WWW-Authenticate": f'{_BEARER}, error="invalid_token"'}
        return RefusedCall(401, "The token is not known, expired or revoked.", why)

    def admits(self, hashed: bytes, cost: float) -> bool:
        """Whether this is the token of somebody who is remembered, and may ask this, which is counted. Whether it holds
        still is to be asked with it."""
        until, caller = self._known.get(hashed, _NOBODY)
        used_of_late = time.monotonic() < until + WRITTEN_SECONDS  # each use of a look-up is noted
        return caller is not None and used_of_late and not self._rates.wait(caller.who, cost)

    def forget(self, hashed: bytes) -> None:
        """Look this token up anew the next time: it does not hold any more."""
        self._known.pop(hashed, None)

    async def _of(self, token: str, place: str) -> Caller | None:
        hashed = accounts.digest(token)
        until, caller = self._known.get(hashed, _NOBODY)
        if until > time.monotonic():
            return caller
        if self._strangers.is_empty(place):
            raise RefusedCall(429, _TOO_MANY, {"Retry-After": "1"})
        caller = await self._bulkhead.ask(self._look_up, self._bulkhead.runtime, token)
        self._known[hashed] = (time.monotonic() + REMEMBERED_SECONDS, caller)
        self._known.move_to_end(hashed)
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return caller

    def _count(self, place: str) -> None:
        """Count a request without a token that holds. Raises `RefusedCall` if an address has too many of them."""
        if seconds := self._strangers.wait(place):
            raise RefusedCall(429, _TOO_MANY, {"Retry-After": str(seconds)})

    def _look_up(self, runtime: Runtime, token: str) -> Caller | None:
        with autocommit(runtime.engine) as connection:
            found = accounts.caller_of_token(connection, token, None)
            if found is not None:
                self._uses.note(token)
            if time.monotonic() - self._written > WRITTEN_SECONDS:
                self._written = time.monotonic()
                self._uses.write(connection)
        return found
