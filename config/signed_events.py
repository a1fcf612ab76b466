"""Events over HTTP: how they travel (CloudEvents), and how requests are signed (Standard Webhooks): the keys, signing,
and checking."""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from standardwebhooks import Webhook, WebhookVerificationError

from config import clock

#: Where events are posted, under `PUBLIC_URL`.
PATH = "/events"

#: Content types of one event, and that of a JSON array of them (CloudEvents 1.0, HTTP protocol binding).
STRUCTURED = ("application/cloudevents+json", "application/json")
BATCHED = "application/cloudevents-batch+json"

#: Stands before a key that is written in base64.
PREFIX = "whsec_"

#: Keys that posts may be signed with at most: what is posted is checked with each of them.
MOST_KEYS = 100

#: What the key for posts is for, where it is made of `SECRET_KEY`.
PURPOSE = b"rollcall events"

#: Seconds that a signature is good for, before and after its time: what the standard's libraries take.
WINDOW_SECONDS = 300

#: Signatures in one request at most; a sender whose keys take turns sends two.
MOST_SIGNATURES = 20

_BOUND = re.compile(rf"(.+?)\s*=\s*({PREFIX}.*)")
_BOUND_TO_NOBODY = re.compile(rf"[\s=]*=\s*{PREFIX}.*")
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
class EventsKey:
    """A key that posted events are signed with. `organisation`: whose events alone it signs; None: everybody's. `old`:
    it is `SECRET_KEY` itself, with which more can be signed than events."""

    key: str
    organisation: str | None = None
    old: bool = False

    @classmethod
    def read(cls, text: str) -> "EventsKey":
        """Read one of `ROLLCALL_EVENTS_KEY`: a key, or `ORGANISATION=whsec_…`. Raises ValueError where no organisation
        stands before the `=`: as a key, it would sign for all."""
        if _BOUND_TO_NOBODY.fullmatch(text):
            raise ValueError(f"names no organisation before ={PREFIX}")
        bound = _BOUND.fullmatch(text)
        return cls(bound[2], bound[1]) if bound else cls(text)

    @classmethod
    def made_of(cls, secret_key: str) -> "EventsKey":
        """The key for posts that a secret makes."""
        from config.signing import derived

        return cls(PREFIX + b64encode(derived(secret_key, PURPOSE)).decode())


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
        if abs(clock.seconds() - int(self.timestamp)) > WINDOW_SECONDS:
            raise NotSigned(f"webhook-timestamp is more than {WINDOW_SECONDS // 60} minutes from now.")


class Signatures:
    """Checks signatures with several keys, so that one can take another's place."""

    def __init__(self, keys: Iterable[EventsKey]) -> None:
        self._hooks = [(key, Webhook(secret)) for key in keys for secret in secrets_in(key.key)]

    def check(self, claim: Claim, body: bytes) -> list[EventsKey]:
        """The keys that signed this. Raises `NotSigned` where none did; UnicodeDecodeError where the body is no text,
        of which the standard knows no signature."""
        text = body.decode()
        headers = {
            "webhook-id": claim.id,
            "webhook-timestamp": claim.timestamp,
            "webhook-signature": claim.signatures,
        }
        found = []
        for key, hook in self._hooks:
            with suppress(WebhookVerificationError):
                hook.verify(text, headers, json_parse=False)
                found.append(key)
        if not found:
            claim.check_time()
            raise NotSigned(_UNFIT)
        return found


def signs_for(keys: Iterable[EventsKey]) -> frozenset[str] | None:
    """The organisations whose events these keys sign; None: everybody's."""
    organisations = {key.organisation for key in keys}
    return None if None in organisations else frozenset(one for one in organisations if one is not None)


def signed_headers(key: str, id_: str, body: bytes) -> dict[str, str]:
    """The headers that sign a request now. Raises UnicodeDecodeError where its body is no text."""
    now = clock.now()
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secrets_in(key)[0]).sign(id_, now, body.decode()),
    }
