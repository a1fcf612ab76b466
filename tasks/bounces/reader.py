"""Reads what comes back: delivery reports (RFC 3464, RFC 6533), complaints (ARF, RFC 5965), and prose.

Whoever knows an address of ours can send anything there, so this looks for the few fields it needs and for nothing
else: no recursion, no more parts than a report has, linear in what it is given, and it raises nothing.
"""

import binascii
import html
import quopri
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tasks.bounces.voices import COMPLAINT

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
_ADDRESS = re.compile(r"(?<![^\s<>@;,])[^\s<>@;,]+@[^\s<>@;,]+")
#: Charsets that a text is read in, besides UTF-8.
_CHARSET = re.compile(
    r";\s*charset\s*=\s*\"?(iso-2022-jp|shift_jis|euc-jp|gb2312|gbk|gb18030|big5|koi8-r|windows-125[0-8])\b"
)
_LINK = re.compile(r"<\s*(https?://[^<>\s]+)\s*>", re.IGNORECASE)
_TAGS = re.compile(
    r"<(?:style|script|head)\b[^>]{0,99}>.{0,4000}?</(?:style|script|head)>|<[^<>]{0,2000}>", re.I | re.S
)
_BREAKS = re.compile(r"<(?:br|/p|/div|/tr|/h\d|/li)\b[^<>]{0,200}>", re.IGNORECASE)
#: What stands above the copy of a mail in a report written for people.
_COPY = re.compile(
    r"^[ \t>]*(?:--[- ]*(?:below this line|this is a copy|original m|returned message|the header of|unsent message"
    r"|message header|(?:the )?body of|start of returned|forwarded message|return message)"
    r"|return-path:|received: |message header follows|message headers follow|original message follows"
    r"|begin (?:of )?(?:original|returned) message|the original message (?:header|is|was attached)).*\Z",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
#: Characters of a report written for people that are looked at.
_LONGEST_PROSE = 6000
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
class BounceReport:
    """A message that came back, as far as it can be understood."""

    fates: tuple[Fate, ...] = ()
    feedback: str | None = None
    #: Of a complaint: the envelope senders that it says the mail had, the links to unsubscribe in the mail that came
    #: back with it, and its Feedback-ID.
    senders: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    feedback_id: str = ""
    #: Whether a mail came back with it, and whether it says no more than that a mail was read, or thrown away unread.
    returned: bool = False
    receipt: bool = False
    headers: Fields = field(default_factory=dict)
    prose: str = ""

    @property
    def complains(self) -> bool:
        """Whether it is a complaint, in fields or in the way of Microsoft's programme for senders, which returns the
        mail and says no more."""
        told = self.returned and COMPLAINT.match(self.headers.get("subject", "")) is not None
        return self.feedback is not None or told


@dataclass(frozen=True, slots=True)
class _Part:
    type: str
    headers: Fields
    body: str


def read(message: bytes) -> BounceReport:
    """Understand a message, or what there is of it."""
    text = message.decode("utf-8", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")
    headers = _fields(text.partition("\n\n")[0])
    fates: list[Fate] = []
    feedback: str | None = None
    senders: list[str] = []
    links: list[str] = []
    feedback_id = prose = page = ""
    returned = receipt = False
    for part in _parts(text):
        if part.type in _STATUS_TYPES:
            fates += _fates(part.body)
        elif part.type == "message/feedback-report":
            fields = _fields(part.body.strip("\n"))
            feedback = _word(fields.get("feedback-type", ""))
            senders += _ADDRESS.findall(fields.get("original-mail-from", ""))
        elif part.type in _RETURNED_TYPES:
            about = _fields(part.body.lstrip("\n").partition("\n\n")[0])
            returned = True
            senders += _ADDRESS.findall(about.get("return-path", ""))
            links += _LINK.findall(about.get("list-unsubscribe", ""))
            feedback_id = feedback_id or about.get("feedback-id", "")
        elif part.type == "message/disposition-notification":
            receipt = True
        elif part.type == "text/plain" and not prose:
            prose = part.body
        elif part.type == "text/html" and not page:
            page = html.unescape(_TAGS.sub(" ", _BREAKS.sub("\n", part.body[: 4 * _LONGEST_PROSE])))
    prose = _COPY.sub("", (prose.strip() or page)[:_LONGEST_PROSE])
    return BounceReport(
        tuple(fates), feedback, tuple(senders), tuple(links), feedback_id, returned, receipt, headers, prose
    )


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
        if type_.startswith("multipart/") and not boundary:
            type_ = "text/plain"  # its fields are broken: the text is what there is
        if type_.startswith("multipart/"):
            if boundary and depth < _DEEPEST:
                inner = _split(body, boundary[1] or boundary[2])
                waiting += [(part, depth + 1) for part in reversed(inner)]
        else:
            decoded = _decoded(body, headers.get("content-transfer-encoding", ""))
            charset = _CHARSET.search(declared.lower()) if type_.startswith("text/") else None
            yield _Part(type_, headers, _in_unicode(decoded, charset[1]) if charset else decoded)


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


def _in_unicode(text: str, charset: str) -> str:
    """A text whose octets are in another charset, as far as it can be read."""
    return text.encode("utf-8", "surrogateescape").decode(charset, "replace")


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
