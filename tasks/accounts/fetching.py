"""What an OpenID provider answers to us: from nobody else, within bounds, and without following it elsewhere."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit

from config.openid import is_trustworthy
from config.tls import client_context
from config.urls import is_here

#: Seconds without a word, and seconds in all.
SILENT_SECONDS, SECONDS = 5.0, 8.0

#: Octets of an answer at most.
LONGEST = 1_000_000


class ProviderAway(Exception):
    """There is no answer that can be used. The message says why, and quotes nothing of the answer."""


class _NotElsewhere(urllib.request.HTTPRedirectHandler):
    """Nothing is sent where an answer points: it may hold our secret."""

    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""


def fetch(
    url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """The status and the JSON object that a URL answers with, asked by GET or, with a form, by POST. Certificates are
    verified, by what the system trusts or `SSL_CERT_FILE` names. Raises `ProviderAway`."""
    if not is_trustworthy(url):
        raise ProviderAway("its address does not begin with https")
    body = None if form is None else urlencode(form).encode()
    request = urllib.request.Request(  # noqa: S310 - the scheme was looked at
        url, body, {"Accept": "application/json", "User-Agent": "rollcall", **(headers or {})}
    )
    handlers = [_NotElsewhere(), urllib.request.HTTPSHandler(context=client_context())]
    if is_here(urlsplit(url).hostname):
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        try:
            answer = urllib.request.build_opener(*handlers).open(request, timeout=SILENT_SECONDS)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        with answer:
            return answer.status, _json(_read(answer))
    except (OSError, HTTPException) as problem:
        why = getattr(problem, "reason", problem)
        said = getattr(why, "verify_message", None) or getattr(why, "strerror", None) or type(why).__name__
        raise ProviderAway(str(said)) from None


def _read(answer: Any) -> bytes:
    until, found = time.monotonic() + SECONDS, b""
    while part := answer.read1(65_536):
        found += part
        if len(found) > LONGEST or time.monotonic() > until:
            raise ProviderAway("its answer is too long, or takes too long")
    return found


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProviderAway("its answer is no object in JSON")
    return found
