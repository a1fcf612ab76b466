"""Whether a text names somebody who was erased, and what is left of it without them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import msgspec

from tasks.events import Event, Malformed, decode
from tasks.events.schemas import AnnouncementRequested, Envelope, LearnerSaved

#: The texts of a JSON document, however broken it is.
_TEXT = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)

#: Whom an event is about, however broken it is.
_ABOUT = re.compile(rb'"learner"\s*:\s*("(?:[^"\\]|\\.)*")', re.DOTALL)

#: What may be an address, anywhere in a text.
_ADDRESS = re.compile(rb"[^\s\"'<>(),;:\\\[\]{}]+@[^\s\"'<>(),;:\\\[\]{}]+")


@dataclass(frozen=True, slots=True)
class Erased:
    """A learner who was erased: all there is to know them by. `learner` is None where nobody had saved them."""

    erasure: int
    learner: int | None
    id: str
    until: datetime
    at: datetime
    digests: list[bytes]
    names: list[bytes]
    looked_at: datetime | None


@dataclass(slots=True)
class Needles:
    """What to look for."""

    until: dict[str, datetime] = field(default_factory=dict)
    digests: set[bytes] = field(default_factory=set)
    names: list[frozenset[bytes]] = field(default_factory=list)

    @classmethod
    def of(cls, erased: Sequence[Erased]) -> "Needles":
        """All of these at once."""
        return cls(
            {one.id: one.until for one in erased},
            {digest for one in erased for digest in one.digests},
            [frozenset(one.names) for one in erased if len(one.names) > 1],
        )

    def name(self, body: bytes, organisation: str) -> bool:
        """Whether an event of an organisation, or what was to be one, says who somebody was."""
        event = decode(body, now=datetime.max.replace(tzinfo=UTC), skew=timedelta())
        if event.organisation != organisation and not (isinstance(event, Malformed) and event.organisation is None):
            return False
        if isinstance(event, Event) and isinstance(event.data, LearnerSaved):
            return event.data.learner in self.until and event.time <= self.until[event.data.learner]
        if isinstance(event, Malformed) and any(_text(found[1]) in self.until for found in _ABOUT.finditer(body)):
            return True
        found = {_digest(text) for text in _texts(body)}
        return bool(found & self.digests) or any(names <= found for names in self.names)

    def without(self, body: bytes) -> bytes | None:
        """What is left of an event that can still be taken, or None where there is none: what describes somebody who
        was erased is void, and what is malformed is sent again or not at all."""
        event = decode(body, now=datetime.max.replace(tzinfo=UTC), skew=timedelta())
        if isinstance(event, Malformed) or isinstance(event.data, LearnerSaved):
            return None
        said: dict[str, Any] = msgspec.to_builtins(event.data)  # and no field that nobody asked for
        if isinstance(event.data, AnnouncementRequested):
            said |= {name: self._redacted(said[name]) for name in ("subject", "body")}
        document: dict[str, Any] = msgspec.json.decode(body)
        envelope = {name: document[name] for name in Envelope.__struct_fields__}
        return msgspec.json.encode(envelope | {"data": said})

    def _redacted(self, text: str) -> str:
        def kept(found: re.Match[bytes]) -> bytes:
            return b"" if _digest(found[0].rstrip(b".")) in self.digests else found[0]

        return _ADDRESS.sub(kept, text.encode()).decode()


def _digest(text: bytes) -> bytes:
    return sha256(text.lower()).digest()


def _texts(body: bytes) -> Iterator[bytes]:
    for found in _TEXT.finditer(body):
        yield _text(b'"%b"' % found[1]).encode() if b"\\" in found[1] else found[1]
    for found in _ADDRESS.finditer(body):
        yield found[0].rstrip(b".")


def _text(quoted: bytes) -> str:
    try:
        return str(msgspec.json.decode(quoted, type=str))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return quoted.decode(errors="replace")
