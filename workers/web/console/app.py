"""Every page of the console as it is asked for: who asks, may they, the form, the act, and the page as an answer."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, quote

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from config.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable, UserError
from config.keys import keys_in
from config.log import without_data
from config.runtime import Runtime
from tasks import accounts
from tasks.accounts import Caller, permits
from tasks.acts import organisations as organisation_acts
from tasks.acts import perform
from tasks.acts.acting import organisation_of, tag_of
from tasks.acts.paging import PageAsked, Stream
from tasks.acts.signing_in import SIGN_IN_PATH
from workers.web.api.limits import Buckets, Places
from workers.web.api.problems import RefusedCall
from workers.web.asking import AGAIN, Bulkhead, is_passing
from workers.web.bodies import Bodies, NotRead
from workers.web.console import (
    announcements,
    enrolments,
    home,
    imports,
    launching,
    operators,
    people,
    reports,
    seats,
    segments,
    technical,
    uploading,
    users,
    writing,
)
from workers.web.console.changes import Changes
from workers.web.console.flashes import Flashes
from workers.web.console.languages import Reading
from workers.web.console.looks import FRAMED_POLICY, FRAMING_POLICY, HEADERS, asset, render
from workers.web.console.uploading import SentFile
from workers.web.console.visits import PAGES, ConsolePage, Framed, Gone, Shown, Visit, navigation
from workers.web.exporting import Exports
from workers.web.paths import below, fields_in, path_of
from workers.web.signing_in import SIGN_OUT_PATH, Visitors

log = structlog.get_logger()

#: What is imported for the pages that it declares.
DECLARING = (
    home, users, enrolments, segments, announcements, writing, launching, reports, seats, imports, technical, operators,
    people,
)  # fmt: skip

#: Where the console is, below `PUBLIC_URL`.
BASE = "/console"

#: Octets of a form, and its fields, at most: a thousand learners with ids of the longest sort.
LONGEST_FORM, MOST_FIELDS = 1_000_000, 2000

#: Pages that one person may open a second, and at once, in one process.
RATE, AT_ONCE = 10.0, 60

#: Organisations that the switch names; who sees more chooses from the list of them.
SWITCHED = 20

#: Seconds that a choice of language, zone or colours is kept.
KEPT_SECONDS = 400 * 86_400


class RefusedVisit(Exception):
    """A request that is answered with a page that says why."""

    def __init__(self, status: int, says: str = "", wait: int = 0) -> None:
        super().__init__(says)
        self.status, self.says, self.wait = status, says, wait


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, read. `session`: the cookie of the session."""

    request: Request
    page: ConsolePage
    path: dict[str, str]
    reader: Reading
    session: str
    query: Sequence[tuple[str, str]]
    fields: Sequence[tuple[str, str]]
    file: SentFile | None = None


class Console:
    """Answers requests below `BASE`. It is an ASGI application."""

    def __init__(self, runtime: Runtime, bodies: Bodies) -> None:
        self._bodies, self._visitors = bodies, Visitors(runtime)
        self._prefix = path_of(runtime.endpoints.public_url)
        self._flashes = Flashes(keys_in(runtime.endpoints.secret_key))
        self._bulkhead = Bulkhead(
            runtime, "web console", at_once=8, wait=3, seconds=60, statement=30, connections=2, kept=4
        )
        self._downloads = Bulkhead(runtime, "web console exports", at_once=2, wait=3, seconds=60, statement=None)
        self._looks = Bulkhead(runtime, "web console changes", at_once=2, wait=3, seconds=5, statement=3)
        self._rates = Buckets(AT_ONCE, RATE)
        self._exports = Exports(self._downloads)
        self._changes = Changes(runtime.stopping)
        self._uploading = Places(uploading.OF_ONE, uploading.MOST)

    def routes(self) -> list[Route]:
        """All of it, where `PUBLIC_URL` is and, should a proxy in front take its path away, at the root."""
        behind = {"", self._prefix}
        return [Route(f"{path}{BASE}{rest}", self) for path in behind for rest in ("", "/{rest:anything}")]

    def close(self) -> None:
        """Close the connections."""
        for bulkhead in (self._bulkhead, self._downloads, self._looks):
            bulkhead.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Every one of them is answered by a page."""
        request = Request(scope, receive)
        reader = Reading.of(request)
        try:
            answer = await self._answer(request, reader)
        except Exception as problem:  # noqa: BLE001 - whatever it was, it is answered
            answer = self._problem(reader, problem)
        finally:
            await request.close()
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        await answer(scope, receive, send)

    async def _answer(self, request: Request, reader: Reading) -> Response:
        parts = self._parts(request)
        if parts[:1] == ["assets"]:
            found = asset("/".join(parts[1:])) if request.method in {"GET", "HEAD"} else None
            if found is None:
                raise RefusedVisit(404)
            return found
        page, path = _found(request.method, parts)
        query = _pairs(request.scope["query_string"])
        asked = _Asked(request, page, path, reader, self._visitors.session(request), query, ())
        if page.uploads:
            return await self._sent(asked)
        if request.method == "POST":
            async with self._bodies.read(request, LONGEST_FORM) as body:
                asked = replace(asked, fields=_pairs(body))
        if page.live is not None and "text/event-stream" in request.headers.get("accept", ""):
            return await self._change_stream(asked)
        if page.exports:
            return await self._exported(asked)
        return await self._bulkhead.ask(self._show, self._bulkhead.runtime, asked)

    async def _sent(self, asked: _Asked) -> Response:
        """The answer to a form with a file, which is read of somebody who may send it alone."""
        who = await self._bulkhead.ask(self._sender, self._bulkhead.runtime, asked)
        if isinstance(who, Response):
            return who
        if not self._uploading.take(who):
            raise RefusedVisit(429, wait=AGAIN)
        try:
            fields, file = await uploading.read(asked.request)
            sent = replace(asked, fields=fields, file=file)
            return await self._bulkhead.ask(self._show, self._bulkhead.runtime, sent)
        finally:
            self._uploading.give(who)

    def _sender(self, runtime: Runtime, asked: _Asked) -> Response | str:
        """Who sends a file, if they may."""
        caller = self._visitors.caller(runtime, asked.request)
        if caller is None:
            return self._sign_in()
        if not self._visitors.asked_by_us(asked.request):
            raise RefusedVisit(403, asked.reader.words.gettext("The form was not sent from a page of ours."))
        self._visit(runtime, asked, caller)
        return caller.who

    def _sign_in(self) -> Response:
        return Response(status_code=303, headers={"Location": f"{self._prefix}{SIGN_IN_PATH}"})

    async def _change_stream(self, asked: _Asked) -> Response:
        """The stream that tells a page of changes."""

        async def tag() -> str | None:
            found = await self._looks.ask(self._reader_and_tag, self._looks.runtime, asked)
            return None if found is None else found[1]

        found = await self._looks.ask(self._reader_and_tag, self._looks.runtime, asked)
        if found is None:
            return Response(status_code=204)  # which a browser does not ask again
        if wait := self._rates.wait(found[0]):
            raise RefusedVisit(429, wait=wait)
        stream = self._changes.stream(found[0], tag)
        if stream is None:
            raise RefusedVisit(503, wait=AGAIN)
        return stream

    def _reader_and_tag(self, runtime: Runtime, asked: _Asked) -> tuple[str, str] | None:
        """Who has a page open, and the tag of what it is asked by; None for somebody who is not signed in any more."""
        caller = self._visitors.caller(runtime, asked.request, used=False)
        if caller is None:
            return None
        return caller.who, self._tag(asked, self._visit(runtime, asked, caller))

    def _tag(self, asked: _Asked, visit: Visit, within: float | None = None) -> str:
        """The tag of what a page is asked by, anew unless somebody asked `within` these seconds."""
        live = asked.page.live
        assert live is not None  # noqa: S101 - the callers looked
        same = (asked.page.parts, tuple(asked.path.items()), tuple(asked.query))
        return self._changes.shared(same, lambda: tag_of(live(visit)), within)

    async def _exported(self, asked: _Asked) -> Response:
        """A file, made while it is read; one person and one organisation have a few at once."""
        with ExitStack() as held:
            await self._exports.enter(held)
            found = await self._downloads.within(self._streamed, self._downloads.runtime, asked)
            if isinstance(found, Response):
                return found
            who, stream = found
            try:
                self._exports.take_place(held, who, asked.path.get("organisation"))
            except RefusedCall:
                raise RefusedVisit(429, wait=AGAIN) from None
            return await self._exports.send(held, stream)

    def _parts(self, request: Request) -> list[str]:
        """The segments of a path below `BASE`, each decoded by itself: an id may hold a slash."""
        try:
            return below(BASE, self._prefix, request.scope["raw_path"]) or [""]
        except ValueError:
            raise RefusedVisit(404) from None

    def _show(self, runtime: Runtime, asked: _Asked) -> Response:
        found = self._streamed(runtime, asked)
        assert isinstance(found, Response), f"{asked.page.parts} exports, and does not say so"  # noqa: S101
        return found

    def _streamed(self, runtime: Runtime, asked: _Asked) -> Response | tuple[str, Stream]:
        """The answer or, of somebody, a file to stream."""
        used = "rollcall-unused" not in asked.request.headers  # a page that asks while nobody is there
        caller = self._visitors.caller(runtime, asked.request, used=used)
        if caller is None:
            return self._sign_in()
        if wait := self._rates.wait(caller.who):
            raise RefusedVisit(429, wait=wait)
        if asked.request.method == "POST" and not self._is_ours(asked):
            raise RefusedVisit(403, asked.reader.words.gettext("The form was not sent from a page of ours."))
        visit = self._visit(runtime, asked, caller)
        tag = ""
        try:
            if asked.page.live is not None:  # before the page is: what changes meanwhile makes it another
                tag = self._tag(asked, visit, 0)
            answer = asked.page.does(visit)
        except UserError as problem:
            answer = _refusal(visit, problem)
        if isinstance(answer, Stream):
            return caller.who, answer
        if isinstance(answer, Gone):
            return self._gone(asked, answer)
        if isinstance(answer, Framed):
            return HTMLResponse(answer.html, headers={"Content-Security-Policy": FRAMED_POLICY})
        return self._page(asked, visit, answer, tag)

    def _visit(self, runtime: Runtime, asked: _Asked, caller: Caller) -> Visit:
        """What a page knows. Raises what the act does whose permission the page needs, which writes a refusal down."""
        base, needs = f"{self._prefix}{BASE}", asked.page.needs
        here = base + "".join(f"/{quote(part, safe='')}" for part in self._parts(asked.request) if part)
        query = asked.request.scope["query_string"].decode("latin-1")
        here = f"{here}?{query}" if query else here
        visit = Visit(
            runtime,
            caller,
            asked.reader,
            base,
            here,
            asked.path,
            asked.query,
            asked.fields,
            file=asked.file,
            session=accounts.session_id(asked.session),
        )
        organisation = asked.path.get("organisation")
        if needs is not None and not permits(caller, needs.name, organisation):
            perform(runtime, caller, needs, None, organisation)
        if organisation is None:
            return visit
        return replace(visit, organisation=organisation_of(runtime, caller, organisation))

    def _page(self, asked: _Asked, visit: Visit, shown: Shown, tag: str) -> Response:
        switch = visit.ask(organisation_acts.list_, PageAsked(limit=SWITCHED))
        cookie = asked.request.cookies.get(self._flash_cookie, "")
        said: dict[str, Any] = {
            **shown.said,
            "visit": visit,
            "sections": [
                one for one in navigation() if (visit.organisation or one.whole) and visit.may(one.needs.name)
            ],
            "current": asked.page.section,
            "switch": switch.items if len(switch.items) > 1 else [],
            "more_organisations": switch.next is not None,
            "key": self._visitors.form_key(asked.session),
            "sign_out": f"{self._prefix}{SIGN_OUT_PATH}",
            "flash": self._flashes.read(asked.session, cookie),
            "live": tag,
        }
        response = HTMLResponse(render(shown.template, asked.reader, said), shown.status)
        response.headers["Content-Language"] = asked.reader.language
        if shown.frames:
            response.headers["Content-Security-Policy"] = FRAMING_POLICY
        if cookie:
            self._visitors.cookies.forget(response, self._flash_cookie)
        return response

    def _gone(self, asked: _Asked, gone: Gone) -> Response:
        response = Response(status_code=303, headers={"Location": gone.to})
        for name, value in gone.cookies.items():
            response.set_cookie(name, quote(value, safe=""), max_age=KEPT_SECONDS, path="/", samesite="lax")
        if gone.flash:
            self._visitors.cookies.set(response, self._flash_cookie, self._flashes.written(asked.session, gone))
        return response

    @property
    def _flash_cookie(self) -> str:
        return f"{self._visitors.cookies.session}-said"

    def _is_ours(self, asked: _Asked) -> bool:
        key = next((value for name, value in asked.fields if name == "key"), "")
        return self._visitors.sent_by_us(asked.request, asked.session, key)

    def _problem(self, reader: Reading, problem: Exception) -> Response:
        """A page for what went wrong, if nothing is known of who asks."""
        refused = problem
        if isinstance(problem, UserError):
            refused = RefusedVisit(_status(problem), reader.translated(str(problem)))
        elif isinstance(problem, NotRead):
            refused = RefusedVisit(problem.status, str(problem))
        elif is_passing(problem):
            log.warning("console.unavailable", **without_data(problem))
            refused = RefusedVisit(503, wait=AGAIN)
        elif not isinstance(problem, RefusedVisit):
            log.error("console.failed", **without_data(problem))  # a traceback may quote people's data
            refused = RefusedVisit(500)
        assert isinstance(refused, RefusedVisit)  # noqa: S101 - whatever it was
        said = {"status": refused.status, "says": refused.says, "base": f"{self._prefix}{BASE}"}
        response = HTMLResponse(render("outside", reader, said), refused.status)
        if refused.wait:
            response.headers["Retry-After"] = str(refused.wait)
        return response


def _refusal(visit: Visit, problem: UserError) -> Shown:
    """The page of somebody who is signed in, of what an act refuses."""
    says, translated = str(problem), visit.reader.translated
    fields = (
        [translated(one.detail) for one in problem.errors if one.detail != says] if isinstance(problem, Invalid) else []
    )
    said = {"status": _status(problem), "says": translated(says), "details": fields, "back": visit.said("back")}
    return Shown("refused", said, _status(problem))


def _status(problem: UserError) -> int:
    kinds = {NotFound: 404, Forbidden: 403, Conflict: 409, Unavailable: 503}
    return next((status for kind, status in kinds.items() if isinstance(problem, kind)), 422)


def _found(method: str, parts: list[str]) -> tuple[ConsolePage, dict[str, str]]:
    fitting = [(page, path) for page in PAGES if (path := fields_in(page.parts, parts)) is not None]
    wanted = "GET" if method == "HEAD" else method
    found = next(((page, path) for page, path in fitting if page.method == wanted), None)
    if found is None:
        raise RefusedVisit(405 if fitting else 404)
    return found


def _pairs(text: bytes) -> list[tuple[str, str]]:
    """The fields of a form or a query. Raises `RefusedVisit`."""
    try:
        found = parse_qsl(text.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        raise RefusedVisit(422, "The form cannot be read.") from None
    if any("\0" in name or "\0" in value for name, value in found):
        raise RefusedVisit(422, "The form cannot be read.")
    return found
