"""The page behind the links in announcements: unsubscribe with one click (RFC 8058), or subscribe again.

Whoever holds a link may use it: no cookies, no signing in, no redirects. GET changes nothing, for scanners of mail open
every link. It works without scripts, and nothing of it is kept or told to another site.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from enum import StrEnum
from itertools import islice
from urllib.parse import parse_qsl

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.database import autocommit, enter_tenant_role, transaction
from config.errors import Unavailable
from config.keys import keys_in
from config.runtime import Runtime
from tasks.cells import check_here, in_cell_of_number
from tasks.mail import UNSUBSCRIBE_PATH, Links, Subscription, resubscribe, subscription, unsubscribe
from workers.web.asking import AGAIN, Bulkhead, Busy, is_busy, is_passing
from workers.web.bodies import Bodies, NotRead
from workers.web.pages import HEADERS, LONGEST_FORM, MOST_FIELDS, page
from workers.web.paths import prefixes

log = structlog.get_logger()


class Wish(StrEnum):
    """What a form asks for: the field and the value that say so, as RFC 8058 section 3.1 has them for the first."""

    UNSUBSCRIBE = "List-Unsubscribe=One-Click"
    RESUBSCRIBE = "Subscribe=Again"


@dataclass(frozen=True, slots=True)
class _Words:
    """The page in one language."""

    title: str
    question: str
    unsubscribed: str
    subscribed: str
    note: str
    unsubscribe: str
    resubscribe: str


_WORDS: Mapping[str, _Words] = {
    "en": _Words(
        title="Announcements from {organisation}",
        question="Do you want no more announcements from {organisation} by mail?",
        unsubscribed="You get no more announcements from {organisation} by mail.",
        subscribed="You get announcements from {organisation} by mail again.",
        note="You are still told by mail when you are enrolled in a course.",
        unsubscribe="Unsubscribe",
        resubscribe="Subscribe again",
    ),
    "nl": _Words(
        title="Aankondigingen van {organisation}",
        question="Wil je geen aankondigingen van {organisation} meer per mail krijgen?",
        unsubscribed="Je krijgt geen aankondigingen van {organisation} meer per mail.",
        subscribed="Je krijgt weer aankondigingen van {organisation} per mail.",
        note="Als je voor een cursus wordt ingeschreven, krijg je daar nog steeds mail over.",
        unsubscribe="Afmelden",
        resubscribe="Weer aanmelden",
    ),
    "fr": _Words(
        title="Annonces envoyées par {organisation}",
        question="Ne plus recevoir par e-mail les annonces envoyées par {organisation} ?",
        unsubscribed="Vous ne recevrez plus par e-mail les annonces envoyées par {organisation}.",
        subscribed="Vous recevrez de nouveau par e-mail les annonces envoyées par {organisation}.",
        note="Vous serez toujours informé(e) par e-mail de vos inscriptions aux formations.",
        unsubscribe="Se désabonner",
        resubscribe="Se réabonner",
    ),
}

#: Seconds after which to come again where the database is away.
AWAY = 60


def routes(bulkhead: Bulkhead, bodies: Bodies) -> list[Route]:
    """The page, for every link; what is not one that we signed is not found, whatever it is.

    Where `PUBLIC_URL` has a path, a proxy in front may take it away or leave it.
    """
    runtime = bulkhead.runtime
    links = Links(runtime.endpoints.public_url, keys_in(runtime.endpoints.secret_key))

    async def answer(request: Request) -> Response:
        found = links.read(request.path_params["token"].removesuffix("/"))
        if found is None:
            return page("no_such_link", 404)
        try:
            wish = await _wish(request, bodies) if request.method == "POST" else None
            return await bulkhead.ask(_fulfilled, runtime, *found, wish)
        except NotRead as problem:
            return Response(status_code=problem.status, headers=HEADERS | problem.headers)
        except Unavailable:
            return Response(status_code=503, headers=HEADERS | {"Retry-After": str(AGAIN)})
        except (SQLAlchemyError, Busy) as problem:
            if not is_passing(problem):
                raise
            log.warning("unsubscribe.database_busy" if is_busy(problem) else "unsubscribe.database_away")
            again = AGAIN if is_busy(problem) else AWAY
            return Response(status_code=503, headers=HEADERS | {"Retry-After": str(again)})

    behind = prefixes(runtime.endpoints.public_url)
    return [Route(f"{path}{UNSUBSCRIBE_PATH}{{token:path}}", answer, methods=["GET", "POST"]) for path in behind]


def _fulfilled(here: Runtime, organisation: int, learner: int, wish: Wish | None) -> Response:
    """Do what is wished for where the organisation lives, and show how the learner stands."""
    return in_cell_of_number(here, organisation, lambda there: _fulfil(there, organisation, learner, wish))


def _fulfil(runtime: Runtime, organisation: int, learner: int, wish: Wish | None) -> Response:
    """The same there, with the rights of the organisation's people (R31)."""
    with transaction(runtime.engine, organisation) as connection:
        enter_tenant_role(connection, organisation)
        found = subscription(connection, organisation, learner)
        if found is not None and wish is Wish.UNSUBSCRIBE:
            unsubscribe(connection, organisation, [learner])
        elif found is not None and wish is Wish.RESUBSCRIBE:
            resubscribe(connection, organisation, [learner])
    if found is None:
        with autocommit(runtime.engine) as connection:
            check_here(connection, (), [organisation])
        return page("no_such_link", 404)
    return page("unsubscribe", 200, _shown(found, wish))


def _shown(found: Subscription, wish: Wish | None) -> dict[str, str]:
    """What the page says: how the learner stands, and what the button does about it."""
    language = found.locale.lower().replace("_", "-").partition("-")[0]
    language = language if language in _WORDS else "en"
    words = _WORDS[language]
    if wish is Wish.UNSUBSCRIBE or (wish is None and found.unsubscribed_at is not None):
        said, button, next_wish = words.unsubscribed, words.resubscribe, Wish.RESUBSCRIBE
    else:
        said, button, next_wish = words.subscribed if wish else words.question, words.unsubscribe, Wish.UNSUBSCRIBE
    name, _, value = next_wish.partition("=")
    organisation = found.organisation_name
    return {
        "language": language,
        "title": words.title.format(organisation=organisation),
        "said": said.format(organisation=organisation),
        "note": words.note,
        "name": name,
        "value": value,
        "button": button,
    }


async def _wish(request: Request, bodies: Bodies) -> Wish:
    """What a form asks for. Raises `NotRead` for one that asks for nothing that we know, and one that is too long."""
    async with bodies.read(request, LONGEST_FORM) as body:
        wishes = {f"{name}={value}" for name, value in _fields(request.headers.get("content-type", ""), body)}
    known = [wish for wish in Wish if wish in wishes]
    if len(known) != 1:
        raise NotRead(400, "The form asks for nothing that is known here.")
    return known[0]


def _fields(content_type: str, body: bytes) -> list[tuple[str, str]]:
    """The fields of a form, in either of the encodings of RFC 8058 section 3.1; none where it cannot be read."""
    if not content_type.lower().startswith("multipart/form-data"):
        try:
            return parse_qsl(body.decode("ascii"), max_num_fields=MOST_FIELDS)
        except ValueError:
            return []
    message = message_from_bytes(b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n" + body)
    found = []
    for part in islice(message.walk(), MOST_FIELDS + 1):
        name, value = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(value, bytes):
            found.append((name, value.decode("latin-1")))
    return found
