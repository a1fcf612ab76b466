"""The pages to sign in and out, and to choose a password: forms, without scripts.

A form is taken from our own pages alone. It carries a key that belongs to a cookie of the browser (a signed double
submit), and the browser says where it was sent from (`Sec-Fetch-Site`, or `Origin`). The cookie is the session's or,
before there is one, one that means nothing else: nobody is signed in as somebody else by a form on another site.
"""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.database import transaction
from config.errors import Invalid, NotFound
from config.keys import keys_in
from config.runtime import Runtime
from tasks import accounts
from tasks.accounts import Caller, LinkPurpose
from tasks.acts import signing_in as acts
from tasks.acts.signing_in import SIGN_IN_PATH, TO_CONSOLE, SignIn, SignInRefused
from workers.web.asking import AGAIN, Bulkhead, Busy, is_busy, is_passing
from workers.web.bodies import Bodies, NotRead
from workers.web.pages import HEADERS, LONGEST_FORM, page, urlencoded
from workers.web.paths import prefixes

log = structlog.get_logger()

#: Where a session is ended, below `PUBLIC_URL`.
SIGN_OUT_PATH = "/sign-out"

#: Passwords hashed at once in one process: each takes 64 MiB.
AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Cookies:
    """What the cookies of these pages are called. With https no other host, path or plain connection can set them."""

    secure: bool

    @classmethod
    def of(cls, public_url: str) -> "Cookies":
        """Those of the pages at this address."""
        return cls(urlsplit(public_url).scheme == "https")

    @property
    def session(self) -> str:
        """The one that somebody is known by."""
        return "__Host-rollcall" if self.secure else "rollcall"

    @property
    def form(self) -> str:
        """The one that a form belongs to before anybody is known."""
        return f"{self.session}-form"

    @property
    def openid(self) -> str:
        """The one of the browser that began to sign in through a provider."""
        return f"{self.session}-openid"

    def set(self, response: Response, name: str, value: str) -> None:
        """Have the browser keep a cookie until it is closed, for us alone and out of the reach of scripts."""
        response.set_cookie(name, value, path="/", secure=self.secure, httponly=True, samesite="lax")

    def forget(self, response: Response, name: str) -> None:
        """Have the browser forget it."""
        response.delete_cookie(name, path="/", secure=self.secure, httponly=True, samesite="lax")


class Visitors:
    """Who opens pages, by their cookies; and whether a form is from our own."""

    def __init__(self, runtime: Runtime) -> None:
        self.cookies = Cookies.of(runtime.endpoints.public_url)
        self._runtime = runtime
        self._keys = keys_in(runtime.endpoints.secret_key)
        self._origin = _origin(runtime.endpoints.public_url)

    def session(self, request: Request) -> str:
        """The session that a browser shows, or nothing."""
        return request.cookies.get(self.cookies.session, "")

    def caller(self, runtime: Runtime, request: Request, *, used: bool = True) -> Caller | None:
        """Who opens a page; None for somebody who is not signed in. It asks the database. `used`: it
        counts as a use of the session, which keeps it."""
        session = self.session(request)
        if not session:
            return None
        with transaction(runtime.engine) as connection:
            idle = runtime.settings.rollcall_session_seconds
            return accounts.caller_of_session(connection, session, address_of(request), idle_seconds=idle, used=used)

    def let_in(self, cookie: str, to: str) -> Response:
        """Give a browser the cookie of a new session, and send it on."""
        response = elsewhere(to)
        self.cookies.set(response, self.cookies.session, cookie)
        self.cookies.forget(response, self.cookies.form)
        return response

    def form_key(self, cookie: str) -> str:
        """What a form carries that belongs to this cookie."""
        return accounts.form_key(self._keys[0], cookie)

    def asked_by_us(self, request: Request, *, safe: bool = False) -> bool:
        """Whether a browser does not say that another site had it ask this. `safe`: it changes nothing, so it may be
        what somebody typed as well."""
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        here = {None, self._origin, f"{request.url.scheme}://{request.headers.get('host', '')}"}
        hidden = origin == "null" and site == "same-origin"  # as a page without a referrer sends its forms (Fetch, 3.1)
        return (site in {None, "same-origin"} or (safe and site == "none")) and (origin in here or hidden)

    def is_key(self, request: Request, key: str) -> bool:
        """Whether this is what pages of ours carry that belong to the session of this request."""
        return accounts.is_form_key(self._keys, self.session(request), key)

    def sent_by_us(self, request: Request, cookie: str, key: str) -> bool:
        """Whether a form was sent by a page of ours, in the browser that was given it."""
        return self.asked_by_us(request) and bool(cookie) and accounts.is_form_key(self._keys, cookie, key)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def address_of(request: Request) -> str | None:
    """The network address that somebody comes from."""
    return request.client.host if request.client else None


#: How a browser names itself, and what it is called. Most name others besides, whose pages they want to be shown: the
#: first counts.
_BROWSERS = (
    ("Edg", "Edge"), ("OPR", "Opera"), ("SamsungBrowser", "Samsung Internet"), ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"), ("CriOS", "Chrome"), ("Chrom", "Chrome"), ("Safari", "Safari"), ("curl", "curl"),
)  # fmt: skip


def browser_of(request: Request) -> str | None:
    """The family of the browser: a word of a short list, which tells nobody from anybody else."""
    said = request.headers.get("user-agent", "")
    return next((name for word, name in _BROWSERS if word in said), None)


def routes(bulkhead: Bulkhead, bodies: Bodies) -> list[Route]:
    """The pages, below the path of `PUBLIC_URL` and without it: a proxy in front may take it away or leave it."""
    runtime = bulkhead.runtime
    pages = _Pages(Visitors(runtime), runtime.settings.rollcall_oidc_issuer)
    return [
        Route(prefix + path, answering(bulkhead, bodies, does), methods=methods)
        for prefix in prefixes(runtime.endpoints.public_url)
        for path, does, methods in (
            (SIGN_IN_PATH, pages.sign_in, ["GET", "POST"]),
            (f"{SIGN_IN_PATH}/{LinkPurpose.ONCE}/{{secret}}", pages.once, ["GET"]),
            (f"{SIGN_IN_PATH}/{LinkPurpose.PASSWORD}/{{secret}}", pages.password, ["GET", "POST"]),
            (SIGN_OUT_PATH, pages.sign_out, ["POST"]),
        )
    ]


def answering(
    bulkhead: Bulkhead, bodies: Bodies, does: Callable[[Runtime, Request, dict[str, str]], Response]
) -> Callable[[Request], object]:
    """A page that asks the database, in a thread, once the form is there."""
    safe = acts.is_safe(bulkhead.runtime.endpoints.public_url)

    async def endpoint(request: Request) -> Response:
        if not safe:
            return page("sign_in_refused", 403, {"said": "Passwords would travel openly: PUBLIC_URL needs https."})
        try:
            fields: dict[str, str] = {}
            if request.method == "POST":
                async with bodies.read(request, LONGEST_FORM) as body:
                    fields = urlencoded(body)
            return await bulkhead.ask(does, bulkhead.runtime, request, fields)
        except NotRead as problem:
            return Response(status_code=problem.status, headers=HEADERS | problem.headers)
        except NotFound:
            return page("sign_in_no_such_link", 404)
        except (SQLAlchemyError, Busy) as problem:
            if not is_passing(problem):
                raise
            log.warning("sign_in.database_busy" if is_busy(problem) else "sign_in.database_away")
            return Response(status_code=503, headers=HEADERS | {"Retry-After": str(AGAIN)})

    return endpoint


class _Pages:
    def __init__(self, visitors: Visitors, issuer: str | None) -> None:
        self._visitors, self._cookies = visitors, visitors.cookies
        self._issuer, self._provider = issuer, urlsplit(issuer).netloc if issuer else None

    def sign_in(self, runtime: Runtime, request: Request, fields: dict[str, str]) -> Response:
        """Ask who somebody is; or say it, to somebody who is signed in."""
        if request.method != "POST":
            caller = self._visitors.caller(runtime, request)
            return self._form(request) if caller is None else self._welcome(request, caller)
        if not self._is_ours(request, fields):
            return self._form(request, 403, "The form was not sent from this page: try again.")
        said = SignIn(fields.get("email", ""), fields.get("password", ""), fields.get("code", ""))
        try:
            signed_in = acts.sign_in(
                runtime, said, address_of(request), self._visitors.session(request), browser_of(request)
            )
        except SignInRefused as problem:
            log.info("sign_in.refused", throttled=bool(problem.wait))
            status, more = (429, {"Retry-After": str(problem.wait)}) if problem.wait else (403, {})
            return self._form(request, status, str(problem), more)
        return self._visitors.let_in(signed_in.cookie, "sign-in")

    def once(self, runtime: Runtime, request: Request, _fields: dict[str, str]) -> Response:
        """Let in whoever opens a link that was made for that. HEAD, by which scanners look, uses nothing up."""
        if request.method == "HEAD":
            raise NotFound("This link is for a browser.")
        secret = request.path_params["secret"]
        before = self._visitors.session(request)
        found = acts.sign_in_by_link(runtime, secret, address_of(request), before, browser_of(request))
        to = "../../console" if request.url.query == TO_CONSOLE[1:] else "../../sign-in"
        return self._visitors.let_in(found.cookie, to)

    def password(self, runtime: Runtime, request: Request, fields: dict[str, str]) -> Response:
        """Let somebody choose a password who opens a link that was made for that."""
        secret = request.path_params["secret"]
        email = acts.whose_password(runtime, secret)
        if request.method != "POST":
            return self._password_form(request, email)
        if not self._is_ours(request, fields):
            return self._password_form(request, email, 403, "The form was not sent from this page: try again.")
        if fields.get("password") != fields.get("again"):
            return self._password_form(request, email, 422, "The two passwords are not the same.")
        try:
            acts.choose_password(runtime, secret, fields.get("password", ""), address_of(request))
        except Invalid as problem:
            return self._password_form(request, email, 422, str(problem))
        response = page("password_chosen", 200, {"email": email})
        self._cookies.forget(response, self._cookies.session)
        return response

    def sign_out(self, runtime: Runtime, request: Request, fields: dict[str, str]) -> Response:
        """End the session."""
        session = self._visitors.session(request)
        if session and not self._visitors.sent_by_us(request, session, fields.get("key", "")):
            return page("sign_in_refused", 403, {"said": "The form was not sent from a page of ours."})
        provider = acts.sign_out(runtime, session, address_of(request))
        response = elsewhere("sign-in/openid/out" if provider and provider == self._issuer else "sign-in")
        self._cookies.forget(response, self._cookies.session)
        return response

    def _is_ours(self, request: Request, fields: dict[str, str]) -> bool:
        cookie = request.cookies.get(self._cookies.form, "")
        return self._visitors.sent_by_us(request, cookie, fields.get("key", ""))

    def _form(
        self, request: Request, status: int = 200, problem: str = "", headers: dict[str, str] | None = None
    ) -> Response:
        said: dict[str, object] = {"problem": problem, "provider": self._provider}
        return self._with_key(request, "sign_in", status, said, headers)

    def _password_form(self, request: Request, email: str, status: int = 200, problem: str = "") -> Response:
        said = {"problem": problem, "email": email, "least": accounts.LEAST}
        return self._with_key(request, "password", status, said)

    def _with_key(
        self,
        request: Request,
        template: str,
        status: int,
        said: dict[str, object],
        headers: dict[str, str] | None = None,
    ) -> Response:
        """A page with a form that belongs to this browser."""
        known = request.cookies.get(self._cookies.form)
        cookie = known or accounts.new_secret()
        response = page(template, status, {**said, "key": self._visitors.form_key(cookie)}, headers)
        if not known:
            self._cookies.set(response, self._cookies.form, cookie)
        return response

    def _welcome(self, request: Request, caller: Caller) -> Response:
        key = self._visitors.form_key(self._visitors.session(request))
        organisations = sorted(caller.organisations or ())
        return page(
            "signed_in", 200, {"who": caller.who, "role": caller.role, "organisations": organisations, "key": key}
        )


def elsewhere(to: str) -> Response:
    """Go there, by GET: `to` is relative, so that it is right whatever a proxy in front takes away."""
    return Response(status_code=303, headers=HEADERS | {"Location": to})
