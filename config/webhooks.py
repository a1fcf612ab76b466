"""Events over HTTP: how they travel (CloudEvents), and how requests are signed (Standard Webhooks): the keys, signing,
and checking."""

import binascii
import re
import time
from base64 import b64decode
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from standardwebhooks import Webhook, WebhookVerificationError

#: Where events are posted, under `PUBLIC_URL`.
PATH = "/events"

#: Content types of one event, and that of a JSON array of them (CloudEvents 1.0, HTTP protocol binding).
STRUCTURED = ("application/cloudevents+json", "application/json")
BATCHED = "application/cloudevents-batch+json"

#: Stands before a key that is written in base64.
PREFIX = "whsec_"

#: Seconds that a signature is good for, before and after its time: what the standard's libraries take.
WINDOW_SECONDS = 300

#: Signatures in one request at most; a sender whose keys take turns sends two.
MOST_SIGNATURES = 20

_SIGNATURE = re.compile(r"v1,[A-Za-z0-9+/]{43}=")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_UNFIT = "The signature does not fit the request."


class NotSigned(Exception):
    """A request is not signed by anybody who may; the message says what is wrong, and nothing of any key."""


class Headers(Protocol):
    """The headers of a request."""

    def getlist(self, key: str) -> list[str]:
        """All that stands under a name."""


def decoded_key(key: str) -> bytes | None:
    """What is written in base64, with or without padding; None where it is something else, or nothing."""
    try:
        return b64decode(key.rstrip("=") + "=" * (-len(key.rstrip("=")) % 4), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def secrets_in(key: str) -> list[bytes]:
    """What a key may mean, of which the first signs. `whsec_…` is base64, as the standard has it; any other is its
    characters or, as libraries of the standard read it, what it is the base64 of."""
    decoded = decoded_key(key.removeprefix(PREFIX))
    if decoded is None:
        return [key.encode()]
    return [decoded] if key.startswith(PREFIX) else [key.encode(), decoded]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says of its signature."""

    id: str
    timestamp: str
    signatures: str

    @classmethod
    def read(cls, headers: Headers) -> "Claim":
        """Read the three headers; whether the signature fits is not known yet. Raises `NotSigned`."""
        ids, times, signatures = (headers.getlist(f"webhook-{name}") for name in ("id", "timestamp", "signature"))
        if not ids or not times or not signatures:
            raise NotSigned(
                "The request is not signed: webhook-id, webhook-timestamp and webhook-signature are needed."
            )
        known = [one for line in signatures for one in line.split(" ") if _SIGNATURE.fullmatch(one)][:MOST_SIGNATURES]
        if len(ids) > 1 or len(times) > 1 or not ids[0] or not _TIMESTAMP.fullmatch(times[0]) or not known:
            raise NotSigned(_UNFIT)
        claim = cls(ids[0], times[0], " ".join(known))
        claim.check_time()
        return claim

    def check_time(self) -> None:
        """Raises `NotSigned` for a signature that is too old, or from the future."""
        if abs(time.time() - int(self.timestamp)) > WINDOW_SECONDS:
            raise NotSigned(f"webhook-timestamp is more than {WINDOW_SECONDS // 60} minutes from now.")


class Signatures:
    """Checks signatures with several keys, so that one can take another's place."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._hooks = [Webhook(secret) for key in keys for secret in secrets_in(key)]

    def check(self, claim: Claim, body: bytes) -> None:
        """Raises `NotSigned` unless one of the keys signed this; UnicodeDecodeError where the body is no text, of which
        the standard knows no signature."""
        text = body.decode()
        headers = {
            "webhook-id": claim.id,
            "webhook-timestamp": claim.timestamp,
            "webhook-signature": claim.signatures,
        }
        for hook in self._hooks:
            with suppress(WebhookVerificationError):
                hook.verify(text, headers, json_parse=False)
                return
        claim.check_time()
        raise NotSigned(_UNFIT)


def signed_headers(key: str, id_: str, body: bytes) -> dict[str, str]:
    """The headers that sign a request now. Raises UnicodeDecodeError where its body is no text."""
    now = datetime.now(UTC)
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secrets_in(key)[0]).sign(id_, now, body.decode()),
    }
