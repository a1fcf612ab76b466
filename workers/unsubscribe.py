"""The page behind the links in announcements: unsubscribe with one click (RFC 8058), or subscribe again.

Whoever holds a link may use it: no cookies, no signing in, no redirects. GET changes nothing, for scanners of mail open
every link. It works without scripts, and nothing of it is kept or told to another site.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from enum import StrEnum
from hashlib import sha256
from itertools import islice
from urllib.parse import parse_qsl, urlsplit

import structlog
from markupsafe import Markup
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from config.database import serve_people, transaction
from config.runtime import Runtime
from config.settings import keys_in
from tasks.mail import UNSUBSCRIBE_PATH, Links, Subscription, resubscribe, subscription, unsubscribe
from workers.asking import AGAIN, Busy, Desk, is_busy, is_passing
from workers.bodies import Bodies, NotRead

log = structlog.get_logger()

#: Octets of a form at most. The longest that we ask for has some 200.
LONGEST_FORM = 8192

#: Fields of a form at most.
MOST_FIELDS = 8


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

_STYLE = Markup(
    ":root{color-scheme:light dark}"
    "body{margin:0;font:1.125rem/1.5 system-ui,sans-serif;color:#18181b;background:#f4f4f5}"
    "main{max-width:34rem;margin:10vh auto;padding:2rem;background:#fff;border-radius:.5rem}"
    "h1{margin-top:0;font-size:1.375rem}"
    "button{font:inherit;font-weight:600;padding:.75rem 1.5rem;border:0;border-radius:.375rem;color:#fff;"
    "background:#1d4ed8;cursor:pointer}"
    "button:focus-visible{outline:3px solid #f59e0b;outline-offset:3px}"
    "@media(prefers-color-scheme:dark){body{color:#f4f4f5;background:#18181b}main{background:#27272a}}"
)

_PAGE = Markup(
    '<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
    "<style>{style}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{content}</main>\n</body>\n</html>\n"
)
_CONTENT = Markup(
    '<p role="status">{said}</p>\n<p>{note}</p>\n'
    '<form method="post"><button name="{name}" value="{value}">{button}</button></form>\n'
)
_NO_SUCH_LINK = _PAGE.format(
    language="en",
    title="This link does not work",
    style=_STYLE,
    content=Markup("<p>Please use the link as it stands in the mail, all of it.</p>\n"),
)

#: The page is for its reader alone: it runs nothing, fits in no frame, is kept nowhere, and its address is told nobody.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none';"
    f" style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}


#: Seconds after which to come again where the database is away.
AWAY = 60


def routes(desk: Desk, bodies: Bodies) -> list[Route]:
    """The page, for every link; what is not one that we signed is not found, whatever it is.

    Where `PUBLIC_URL` has a path, a proxy in front may take it away or leave it.
    """
    runtime = desk.runtime
    links = Links(runtime.endpoints.public_url, keys_in(runtime.endpoints.secret_key))

    async def answer(request: Request) -> Response:
        found = links.read(request.path_params["token"].removesuffix("/"))
        if found is None:
            return _page(_NO_SUCH_LINK, 404)
        try:
            wish = await _wish(request, bodies) if request.method == "POST" else None
            return await desk.ask(_fulfilled, runtime, *found, wish)
        except NotRead as problem:
            return Response(status_code=problem.status, headers=_HEADERS | problem.headers)
        except (SQLAlchemyError, Busy) as problem:
            if not is_passing(problem):
                raise
            log.warning("unsubscribe.database_busy" if is_busy(problem) else "unsubscribe.database_away")
            again = AGAIN if is_busy(problem) else AWAY
            return Response(status_code=503, headers=_HEADERS | {"Retry-After": str(again)})

    behind = {"", urlsplit(runtime.endpoints.public_url).path.rstrip("/")}
    return [Route(f"{path}{UNSUBSCRIBE_PATH}{{token:path}}", answer, methods=["GET", "POST"]) for path in behind]


def _fulfilled(runtime: Runtime, organisation: int, learner: int, wish: Wish | None) -> Response:
    """Do what is wished for, with the rights of the organisation's people (R31), and show how the learner stands."""
    with transaction(runtime.engine, organisation) as connection:
        serve_people(connection, organisation)
        found = subscription(connection, organisation, learner)
        if found is None:
            return _page(_NO_SUCH_LINK, 404)
        if wish is Wish.UNSUBSCRIBE:
            unsubscribe(connection, organisation, [learner])
        elif wish is Wish.RESUBSCRIBE:
            resubscribe(connection, organisation, [learner])
    return _page(_shown(found, wish), 200)


def _shown(found: Subscription, wish: Wish | None) -> Markup:
    language = found.locale.lower().replace("_", "-").partition("-")[0]
    language = language if language in _WORDS else "en"
    words = _WORDS[language]
    if wish is Wish.UNSUBSCRIBE or (wish is None and found.unsubscribed_at is not None):
        said, button, next_wish = words.unsubscribed, words.resubscribe, Wish.RESUBSCRIBE
    else:
        said, button, next_wish = words.subscribed if wish else words.question, words.unsubscribe, Wish.UNSUBSCRIBE
    name, _, value = next_wish.partition("=")
    return _PAGE.format(
        language=language,
        title=words.title.format(organisation=found.organisation_name),
        style=_STYLE,
        content=_CONTENT.format(
            said=said.format(organisation=found.organisation_name),
            note=words.note,
            name=name,
            value=value,
            button=button,
        ),
    )


def _page(text: Markup, status: int) -> Response:
    return HTMLResponse(str(text), status, _HEADERS)


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
