"""Reads what comes back: delivery reports (RFC 3464, RFC 6533), complaints (ARF, RFC 5965), and prose.

Whoever knows an address of ours can send anything there, so this looks for the few fields it needs and for nothing
else: no recursion, no more parts than a report has, linear in what it is given, and it raises nothing.
"""

import binascii
import quopri
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

#: Levels of multipart looked into: a report has one, a mailing list or a scanner puts one or two around it.
_DEEPEST = 4
#: Parts looked at on a level: a report has three.
_MOST_PARTS = 32
#: Characters of a field that are looked at.
_LONGEST_FIELD = 2000
#: Groups looked at in a delivery status: there is one recipient to an envelope sender, and who they forward to.
_MOST_GROUPS = 100

_STATUS_TYPES = {"message/delivery-status", "message/global-delivery-status"}
_RETURNED_TYPES = {"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"}
_TYPE = re.compile(r"\s*([a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+)")
_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"\n]+)"|([^\s";]+))', re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s<>@;,]+@[^\s<>@;,]+")
_WORD = re.compile(r"\s*([a-z0-9-]+)")

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Fate:
    """What a delivery status says of one recipient; empty where it says nothing."""

    action: str
    status: str
    diagnostic: str
    recipients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A message that came back, as far as it can be understood."""

    fates: tuple[Fate, ...] = ()
    feedback: str | None = None
    #: Of a complaint: the envelope senders that it says the mail had.
    senders: tuple[str, ...] = ()
    headers: Fields = field(default_factory=dict)
    prose: str = ""


@dataclass(frozen=True, slots=True)
class _Part:
    type: str
    headers: Fields
    body: str


def read(message: bytes) -> Report:
    """Understand a message, or what there is of it."""
    text = message.decode("utf-8", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")
    headers = _fields(text.partition("\n\n")[0])
    fates: list[Fate] = []
    feedback: str | None = None
    senders: list[str] = []
    prose = ""
    for part in _parts(text):
        if part.type in _STATUS_TYPES:
            fates += _fates(part.body)
        elif part.type == "message/feedback-report":
            fields = _fields(part.body.strip("\n"))
            feedback = _word(fields.get("feedback-type", ""))
            senders += _ADDRESS.findall(fields.get("original-mail-from", ""))
        elif part.type in _RETURNED_TYPES:
            returned = _fields(part.body.lstrip("\n").partition("\n\n")[0])
            senders += _ADDRESS.findall(returned.get("return-path", ""))
        elif part.type == "text/plain" and not prose:
            prose = part.body
    return Report(tuple(fates), feedback, tuple(senders) if feedback is not None else (), headers, prose)


def _parts(text: str) -> Iterator[_Part]:
    """The parts that are not multipart, in their order; what a message attaches is not looked into."""
    waiting = [(text, 0)]
    while waiting:
        entity, depth = waiting.pop()
        head, _, body = ("", "", entity[1:]) if entity.startswith("\n") else entity.partition("\n\n")
        headers = _fields(head)
        declared = headers.get("content-type", "text/plain")
        found = _TYPE.match(declared.lower())
        type_ = found[1] if found else "text/plain"
        boundary = _BOUNDARY.search(declared)
        if type_.startswith("multipart/"):
            if boundary and depth < _DEEPEST:
                inner = _split(body, boundary[1] or boundary[2])
                waiting += [(part, depth + 1) for part in reversed(inner)]
        else:
            yield _Part(type_, headers, _decoded(body, headers.get("content-transfer-encoding", "")))


def _split(body: str, boundary: str) -> list[str]:
    """The entities between the boundary's lines; the last one may lack its end, or be cut short."""
    line = re.compile(rf"^--{re.escape(boundary)}(--)?[ \t]*$\n?", re.MULTILINE)
    _, *pieces = line.split(body, _MOST_PARTS)
    entities = []
    for closes, entity in zip(pieces[::2], pieces[1::2], strict=True):
        if closes:
            break
        entities.append(entity)
    return entities


def _decoded(body: str, encoding: str) -> str:
    """A body without its transfer encoding; as it is where that cannot be undone."""
    match _word(encoding):
        case "base64":
            try:
                octets = b64decode(re.sub(r"[^A-Za-z0-9+/]", "", body) + "==")
            except binascii.Error:
                return body
        case "quoted-printable":
            octets = quopri.decodestring(body.encode("utf-8", "surrogateescape"))
        case _:
            return body
    return octets.decode("utf-8", "surrogateescape").replace("\r\n", "\n")


def _fates(body: str) -> Iterator[Fate]:
    """What a delivery status says: one group of fields for the message, then one for each recipient."""
    for group in body.split("\n\n", _MOST_GROUPS)[:_MOST_GROUPS]:
        fields = _fields(group.strip("\n"))
        if fields.keys() & {"action", "status", "final-recipient"}:
            named = " ".join(fields.get(name, "") for name in ("final-recipient", "original-recipient"))
            yield Fate(
                action=_word(fields.get("action", "")),
                status=fields.get("status", "").strip(),
                diagnostic=fields.get("diagnostic-code", "").strip(),
                recipients=tuple(_ADDRESS.findall(named)),
            )


def _fields(block: str) -> Fields:
    """The fields of a header or a group, by name in lower case, unfolded; of a repeated one the first."""
    found: dict[str, str] = {}
    for line in re.sub(r"\n[ \t]+", " ", block).split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip().lower(), value[:_LONGEST_FIELD].strip())
    return found


def _word(value: str) -> str:
    """The first word of a value, in lower case."""
    found = _WORD.match(value.lower())
    return found[1] if found else ""
