"""Signing in through an OpenID provider: the authorization code flow with PKCE (OpenID Connect Core 1.0; RFC 7636).

What one sign-in is known by comes back from the browser that began it, in a cookie. State, nonce and verifier are made
of the cookie and a key of ours, so nothing is kept meanwhile, and nobody can have another browser end what they began.
"""

import hmac
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlencode

from config import clock
from config.openid import is_trustworthy
from config.signing import derived
from tasks.accounts.fetching import ProviderAway, fetch
from tasks.accounts.id_tokens import KeyUnknown, TokenRefused, claims_of
from tasks.accounts.secret import new_secret

#: Seconds that somebody has between the first page and the last.
BEGUN_SECONDS = 600

#: Seconds that what the provider says of itself, its keys among that, is believed; and that it is not asked again after
#: it did not answer.
KNOWN_SECONDS, AWAY_SECONDS = 600.0, 5.0

PURPOSE = b"rollcall openid"


@dataclass(frozen=True, slots=True)
class Beginning:
    """What one sign-in is known by. `nonce` comes back in the ID token, `state` in the address."""

    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier."""
        return _base64(sha256(self.verifier.encode()).digest())


def new_cookie() -> str:
    """What a browser is given that begins a sign-in now."""
    return f"{new_secret()}.{int(clock.seconds())}"


def beginning_of(secret_key: str, cookie: str) -> Beginning:
    """What the sign-in of a cookie is known by, made with one of our keys."""
    key = derived(secret_key, PURPOSE)
    made = (hmac.new(key, f"{use} {cookie}".encode(), sha256).digest() for use in ("state", "nonce", "verifier"))
    return Beginning(*map(_base64, made))


def begun_by(secret_keys: Sequence[str], cookie: str, state: str) -> Beginning | None:
    """The sign-in that this browser began, if what came back is of that, and it was not long ago."""
    _, _, began = cookie.rpartition(".")
    if not (began.isascii() and began.isdecimal() and len(began) < 12 and cookie.isascii()):
        return None
    if not 0 <= clock.seconds() - int(began) <= BEGUN_SECONDS:
        return None
    made = (beginning_of(key, cookie) for key in secret_keys)
    return next(
        (one for one in made if hmac.compare_digest(one.state.encode(), state.encode("utf-8", "replace"))), None
    )


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a provider says of itself (OpenID Connect Discovery 1.0), as far as it is used, and the keys it signs with.
    `names_itself`: whether it says who it is when it sends a browser back (RFC 9207)."""

    authorization: str
    token: str
    userinfo: str | None
    end_session: str | None
    basic: bool
    names_itself: bool
    keys: list[dict[str, Any]]


class OpenIdProvider:
    """The provider that people sign in through. It may be used from several threads."""

    def __init__(self, issuer: str, client_id: str, client_secret: str | None, scopes: str, groups_claim: str) -> None:
        self.issuer = issuer
        self._client_id, self._secret = client_id, client_secret
        self._scopes, self._groups = scopes, groups_claim
        self._lock = threading.Lock()
        self._known: tuple[float, Metadata | ProviderAway] | None = None

    def metadata(self) -> Metadata:
        """What it says of itself; asked now and then. Raises `ProviderAway`."""
        with self._lock:
            if self._known is None or time.monotonic() > self._known[0]:
                try:
                    self._known = (time.monotonic() + KNOWN_SECONDS, self._discovered())
                except ProviderAway as problem:
                    self._known = (time.monotonic() + AWAY_SECONDS, problem)
            found = self._known[1]
        if isinstance(found, ProviderAway):
            raise ProviderAway(str(found))
        return found

    def address(self, redirect: str, begun: Beginning) -> str:
        """Where a browser goes to sign in. Raises `ProviderAway`."""
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect,
            "scope": self._scopes,
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": begun.challenge,
            "code_challenge_method": "S256",
        }
        return _with(self.metadata().authorization, asked)

    def sign_out_address(self, back: str) -> str | None:
        """Where somebody ends the provider's own session, if there is such a place. Raises `ProviderAway`."""
        place = self.metadata().end_session
        return place and _with(place, {"client_id": self._client_id, "post_logout_redirect_uri": back})

    def is_from_it(self, issuer: str | None) -> bool:
        """Whether whoever sent a browser back is the provider, and no other that we were mixed up with (RFC 9207).
        Raises `ProviderAway`."""
        return issuer == self.issuer or (issuer is None and not self.metadata().names_itself)

    def claims(self, code: str, redirect: str, begun: Beginning) -> dict[str, Any]:
        """What it says of somebody, for the code that their browser brought. Raises `TokenRefused` and
        `ProviderAway`."""
        known = self.metadata()
        answer = self._exchanged(known, code, redirect, begun)
        token, access = answer.get("id_token"), answer.get("access_token")
        if not isinstance(token, str):
            raise TokenRefused("there is none")
        claims = self._claims_in(token, begun.nonce)
        if {"email", self._groups} <= claims.keys() or known.userinfo is None or not isinstance(access, str):
            return claims
        status, more = fetch(known.userinfo, headers={"Authorization": f"Bearer {access}"})
        if status != 200 or more.get("sub") != claims["sub"]:
            raise TokenRefused("what is told besides is about somebody else")
        return more | claims

    def _claims_in(self, token: str, nonce: str) -> dict[str, Any]:
        said = {"issuer": self.issuer, "client_id": self._client_id, "nonce": nonce}
        try:
            return claims_of(token, self.metadata().keys, **said)
        except KeyUnknown:  # they may have been changed since
            with self._lock:
                self._known = None
            return claims_of(token, self.metadata().keys, **said)

    def _exchanged(self, known: Metadata, code: str, redirect: str, begun: Beginning) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "client_id": self._client_id,
            "code_verifier": begun.verifier,
        }
        headers = {}
        if self._secret is not None and known.basic:
            del form["client_id"]
            pair = f"{quote(self._client_id, safe='')}:{quote(self._secret, safe='')}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        elif self._secret is not None:
            form["client_secret"] = self._secret
        status, answer = fetch(known.token, form, headers)
        if status == 200:
            return answer
        error = answer.get("error")
        if error == "invalid_grant":
            raise TokenRefused("the code was used, is old or is another's")
        raise ProviderAway(f"it answers {status} to our request for a token: look at the client's id and secret")

    def _discovered(self) -> Metadata:
        status, said = fetch(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        if status != 200:
            raise ProviderAway(f"its discovery document is answered with {status}")
        if said.get("issuer") != self.issuer:
            raise ProviderAway("its discovery document names another issuer")
        methods = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        status, keys = fetch(_place(said, "jwks_uri"))
        found = keys.get("keys")
        if status != 200 or not isinstance(found, list):
            raise ProviderAway("its keys cannot be read")
        return Metadata(
            _place(said, "authorization_endpoint"),
            _place(said, "token_endpoint"),
            _place(said, "userinfo_endpoint") if "userinfo_endpoint" in said else None,
            _place(said, "end_session_endpoint") if "end_session_endpoint" in said else None,
            "client_secret_basic" in methods,
            said.get("authorization_response_iss_parameter_supported") is True,
            [key for key in found if isinstance(key, dict)],
        )


def _place(said: dict[str, Any], name: str) -> str:
    place = said.get(name)
    if not isinstance(place, str) or not is_trustworthy(place) or not place.isprintable() or " " in place:
        raise ProviderAway(f"the {name} of its discovery document is no address that begins with https")
    return place


def _with(place: str, asked: dict[str, str]) -> str:
    return f"{place}{'&' if '?' in place else '?'}{urlencode(asked)}"


def _base64(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()
