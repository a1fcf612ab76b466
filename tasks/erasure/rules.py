"""Whether a text names somebody who was erased, and what is left of it without them."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from tasks.events import (
    AnnouncementRequested,
    CloudEventEnvelope,
    CourseCompleted,
    Event,
    LearnerSaved,
    Malformed,
    read_stored,
)

#: The texts of a JSON document, however broken it is; one without an end goes on to the end of all.
_TEXT = re.compile(rb'"((?:[^"\\]|\\.)*+)"?', re.DOTALL)

#: Whom an event is about, however broken it is.
_ABOUT = re.compile(rb'"learner"\s*:\s*("(?:[^"\\]|\\.)*")', re.DOTALL)

#: What may be an address, anywhere in a text.
_ADDRESS = re.compile(rb"(?<![^\s\"'<>(),;:\\\[\]{}])[^\s\"'<>(),;:\\\[\]{}]+@[^\s\"'<>(),;:\\\[\]{}]+")
_ADDRESS_IN_TEXT = re.compile(_ADDRESS.pattern.decode())

#: What words are made of, and how many of these, with so many blanks between them, a name or an address may have.
#: The name of a merge field is no word.
_PART, _MOST_PARTS, _MOST_BLANKS = re.compile(r"\{\{[^{}\"]*|([^\W_]+|_+)"), 10, 3

#: What stands where somebody was named: letters, so that a letter can still be made of the text.
NOBODY = "NN"

#: What may stand between first and last name.
_BETWEEN = re.compile(r"[\s,*_~\"'-]{1,6}|\.")

#: The shortest username that is looked for in what somebody wrote: shorter ones are words.
_SHORTEST = 3


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
    names: list[list[bytes]] = field(default_factory=list)
    whose: dict[bytes, set[int]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def of(cls, erased: Sequence[Erased]) -> "Needles":
        """All of these at once."""
        found = cls(
            {one.id: one.until for one in erased},
            {digest for one in erased for digest in one.digests},
            [one.names if len(one.names) > 1 else [] for one in erased],
        )
        for number, one in enumerate(erased):
            for digest in (*one.digests, *one.names):
                found.whose[digest].add(number)
        return found

    def name(self, body: bytes, organisation: str) -> bool:
        """Whether an event of an organisation, or what was to be one, says who somebody was."""
        event = read_stored(body)
        if event.organisation != organisation and not (isinstance(event, Malformed) and event.organisation is None):
            return False
        if isinstance(event, Event) and isinstance(event.data, LearnerSaved):
            return self._beats(event, event.data.learner)
        if isinstance(event, Event) and self._results_in(event):
            return True
        if isinstance(event, Malformed) and any(_text(found[1]) in self.until for found in _ABOUT.finditer(body)):
            return True
        texts = list(_texts(body))
        found = {_digest(text) for text in texts}
        if found & self.digests or any(found.issuperset(self.names[who]) for who in self._whose(found)):
            return True
        written = [text for octets in texts if " " in (text := octets.decode(errors="replace"))]
        if isinstance(event, Event):
            written = [event.data.subject, event.data.body] if isinstance(event.data, AnnouncementRequested) else []
        return self.left_of(*written) != written

    def _beats(self, event: Event, learner: str) -> bool:
        """Whether an event is about somebody who was erased, and happened before that."""
        return learner in self.until and event.time <= self.until[learner]

    def _results_in(self, event: Event) -> bool:
        """Whether it says how somebody who was erased completed a course, in whatever words."""
        data = event.data
        return isinstance(data, CourseCompleted) and data.result is not None and self._beats(event, data.learner)

    def _whose(self, found: set[bytes]) -> Iterator[int]:
        """Whose first and last name may be among these: nobody else is asked about."""
        return (who for digest in found if digest in self.whose for who in self.whose[digest] if self.names[who])

    def without(self, body: bytes) -> bytes | None:
        """What is left of an event that can still be taken, or None where there is none: what describes somebody who
        was erased is void, and what is malformed is sent again or not at all."""
        event = read_stored(body)
        if isinstance(event, Malformed) or isinstance(event.data, LearnerSaved):
            return None
        said: dict[str, Any] = msgspec.to_builtins(event.data)  # and no field that nobody asked for
        if self._results_in(event):
            said["result"] = None
        if isinstance(event.data, AnnouncementRequested):
            said["subject"], said["body"] = self.left_of(said["subject"], said["body"])
        document: dict[str, Any] = msgspec.json.decode(body)
        envelope = {name: document[name] for name in CloudEventEnvelope.__struct_fields__ if name in document}
        return msgspec.json.encode(envelope | {"data": said})

    def says(self, text: str) -> bool:
        """Whether a text names somebody."""
        return self.left_of(text) != [text]

    def left_of(self, *texts: str) -> list[str]:
        """What is left of what somebody wrote, its parts read together: addresses, usernames and full names go, and
        where any of these named somebody, their first and last name alone, unless it is an ordinary word there."""
        found = [[one for one in _words(text) if one[2] in self.whose] for text in texts]
        gone: list[list[tuple[int, int]]] = []
        named: set[int] = set()
        for text, words in zip(texts, found, strict=True):
            sure = [one for one in words if one[2] in self.digests and one[1] - one[0] >= _SHORTEST]
            cut = [(low, high) for low, high, _ in sure]
            named |= {who for *_, known in sure for who in self.whose[known]}
            starts = defaultdict(list)
            for low, high, known in words:
                starts[low].append((high, known))
            for low, high, known in words:
                after = _BETWEEN.match(text, high)
                for end, other in starts[after.end()] if after else ():
                    both = {
                        who
                        for who in self.whose[known] & self.whose[other]
                        if self.names[who] in ([known, other], [other, known])
                    }
                    cut += [(low, end)] * bool(both)
                    named |= both
            gone.append(cut)
        for text, words, cut in zip(texts, found, gone, strict=True):
            cut += [
                (low, high)
                for low, high, known in words
                if self.whose[known] & named and not (text[low:high].isalpha() and text[low:high].islower())
            ]
        return [_cut(text, cut) for text, cut in zip(texts, gone, strict=True)]


def _cut(text: str, gone: list[tuple[int, int]]) -> str:
    """The text with `NOBODY` in place of some stretches of it."""
    kept, end = "", 0
    for low, high in sorted(gone):
        if low >= end:
            kept += text[end:low] + NOBODY
        end = max(end, high)
    return kept + text[end:]


def _words(text: str) -> Iterator[tuple[int, int, bytes]]:
    """What may be an address, a username or a name in a text: from where to where, and its digest."""
    for address in _ADDRESS_IN_TEXT.finditer(text):
        said = address[0].rstrip(".!?")
        yield address.start(), address.start() + len(said), _digest(said.encode(errors="replace"))
    parts = [part.span(1) for part in _PART.finditer(text) if part[1]]
    for at, (low, ends) in enumerate(parts):
        blanks, end = 0, ends
        for begins, high in parts[at : at + _MOST_PARTS]:
            blanks += begins > end and any(map(str.isspace, text[end:begins]))
            end = high
            if blanks > _MOST_BLANKS:
                break
            yield low, high, _digest(text[low:high].encode(errors="replace"))


def _digest(text: bytes) -> bytes:
    return sha256(text.lower()).digest()


def _texts(body: bytes) -> Iterator[bytes]:
    for found in _TEXT.finditer(body):
        yield _text(b'"%b"' % found[1]).encode() if b"\\" in found[1] else found[1]
    for found in _ADDRESS.finditer(body):
        yield found[0].rstrip(b".!?")


def _text(quoted: bytes) -> str:
    try:
        return str(msgspec.json.decode(quoted, type=str))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return quoted.decode(errors="replace")
