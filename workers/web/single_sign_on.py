"""The pages to sign in through an OpenID provider: a browser is sent there, and comes back with a code.

Only the browser that began a sign-in can end it, which its cookie shows; no page of another site can begin one; and
nobody is sent where an address says: there are two places to go, the provider and our own page.
"""

from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.database import transaction
from config.errors import NotFound
from config.keys import keys_in
from config.runtime import Runtime
from tasks import accounts
from tasks.accounts import OpenIdProvider, ProviderAway, TokenRefused, Tries
from tasks.acts.signing_in import SIGN_IN_PATH, SignInRefused
from tasks.acts.single_sign_on import sign_in_through_provider
from workers.web.asking import Bulkhead
from workers.web.bodies import Bodies
from workers.web.pages import page
from workers.web.paths import prefixes
from workers.web.signing_in import Visitors, address_of, answering, browser_of, elsewhere

log = structlog.get_logger()

#: The pages, below `PUBLIC_URL`.
BEGIN_PATH = f"{SIGN_IN_PATH}/openid"
BACK_PATH, OUT_PATH = f"{BEGIN_PATH}/back", f"{BEGIN_PATH}/out"

#: People who are let in at once in one process: each waits for the provider.
AT_ONCE = 8

#: What a provider may answer in place of a code (RFC 6749, 4.1.2.1; OpenID Connect Core 1.0, 3.1.2.6), for the log.
_ERRORS = {
    "access_denied", "account_selection_required", "consent_required", "interaction_required", "invalid_request",
    "invalid_scope", "login_required", "server_error", "temporarily_unavailable", "unauthorized_client",
    "unsupported_response_type",
}  # fmt: skip


def routes(bulkhead: Bulkhead, bodies: Bodies) -> list[Route]:
    """The pages, if there is a provider, below the path of `PUBLIC_URL` and without it."""
    settings, public_url = bulkhead.runtime.settings, bulkhead.runtime.endpoints.public_url
    if settings.rollcall_oidc_issuer is None:
        return []
    secret = settings.rollcall_oidc_client_secret
    provider = OpenIdProvider(
        settings.rollcall_oidc_issuer,
        settings.rollcall_oidc_client_id or "",
        None if secret is None else secret.get_secret_value(),
        settings.rollcall_oidc_scopes,
        settings.rollcall_oidc_groups_claim,
    )
    pages = _ProviderPages(provider, Visitors(bulkhead.runtime), public_url)
    return [
        Route(prefix + path, answering(bulkhead, bodies, partial(pages.answered, does)), methods=["GET"])
        for prefix in prefixes(public_url)
        for path, does in ((BEGIN_PATH, pages.begin), (BACK_PATH, pages.back), (OUT_PATH, pages.out))
    ]


class _ProviderPages:
    def __init__(self, provider: OpenIdProvider, visitors: Visitors, public_url: str) -> None:
        self._provider, self._visitors, self._public_url = provider, visitors, public_url
        self._host = urlsplit(provider.issuer).netloc
        self._cookie = visitors.cookies.openid

    def answered(
        self,
        does: Callable[[Runtime, Request], Response],
        runtime: Runtime,
        request: Request,
        _fields: dict[str, str],
    ) -> Response:
        """What a page answers; or why it does not let somebody in, in a line."""
        if request.method == "HEAD":
            raise NotFound("This address is for a browser.")
        try:
            return does(runtime, request)
        except SignInRefused as problem:
            headers = {"Retry-After": str(problem.wait)} if problem.wait else {}
            return self._refused(request, 429 if problem.wait else 403, str(problem), headers)
        except TokenRefused as problem:
            log.warning("sign_in.token_refused", why=str(problem))
            return self._refused(request, 403, f"What {self._host} says of you cannot be trusted: begin again.")
        except ProviderAway as problem:
            log.warning("sign_in.provider_away", why=str(problem))
            said = f"{self._host} cannot be asked who you are. Try again in a minute; the log of Rollcall says why."
            return self._refused(request, 503, said, {"Retry-After": "60"})

    def begin(self, runtime: Runtime, request: Request) -> Response:
        """Send a browser to the provider. One that comes from another site is shown our own page first."""
        if request.headers.get("sec-fetch-site") not in {None, "same-origin", "none"}:
            return elsewhere("../sign-in")
        cookie = accounts.new_cookie()
        begun = accounts.beginning_of(keys_in(runtime.endpoints.secret_key)[0], cookie)
        response = elsewhere(self._provider.address(self._at(BACK_PATH), begun))
        self._visitors.cookies.set(response, self._cookie, cookie)
        return response

    def back(self, runtime: Runtime, request: Request) -> Response:
        """Let in whom the provider sent back."""
        said = {name: request.query_params.getlist(name) for name in ("state", "iss", "error", "code")}
        state, issuer, error, code = (values[0] if len(values) == 1 else None for values in said.values())
        cookie, address = request.cookies.get(self._cookie, ""), address_of(request)
        begun = accounts.begun_by(keys_in(runtime.endpoints.secret_key), cookie, state or "")
        if begun is None or any(len(values) > 1 for values in said.values()):
            raise SignInRefused("This was begun in another browser, or too long ago: begin again.")
        if not self._provider.is_from_it(issuer):
            raise TokenRefused("another provider sent the browser back")
        if code is None or error is not None:
            log.info("sign_in.provider_refused", error=error if error in _ERRORS else "another")
            raise SignInRefused(f"{self._host} did not let you in.")
        tries = Tries.of(runtime.endpoints.secret_key, cookie, address)
        with transaction(runtime.engine) as connection:
            wait = tries.count(connection)
        if wait:
            raise SignInRefused("It was tried too often: wait a few minutes, then try again.", wait)
        claims = self._provider.claims(code, self._at(BACK_PATH), begun)
        person = accounts.person_of(
            self._provider.issuer,
            claims,
            groups_claim=runtime.settings.rollcall_oidc_groups_claim,
            trusted=runtime.settings.rollcall_oidc_email_verified,
        )
        before = self._visitors.session(request)
        found = sign_in_through_provider(runtime, person, address, before, browser_of(request))
        with transaction(runtime.engine) as connection:
            tries.forgive(connection)
        response = self._visitors.let_in(found.cookie, "../../sign-in")
        self._visitors.cookies.forget(response, self._cookie)
        return response

    def out(self, _runtime: Runtime, _request: Request) -> Response:
        """Say that somebody is signed out here, and where they are not yet."""
        try:
            there = self._provider.sign_out_address(self._at(SIGN_IN_PATH))
        except ProviderAway:
            there = None
        return page("signed_out", 200, {"provider": self._host, "address": there})

    def _refused(self, request: Request, status: int, said: str, headers: dict[str, str] | None = None) -> Response:
        to = "../../sign-in" if request.url.path.endswith(BACK_PATH) else "../sign-in"
        response = page("not_signed_in", status, {"said": said, "to": to}, headers)
        self._visitors.cookies.forget(response, self._cookie)
        return response

    def _at(self, path: str) -> str:
        return f"{self._public_url}{path}"
