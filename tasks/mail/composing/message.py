"""Messages, compiled once for a mailing and spliced for each recipient.

Building an `EmailMessage` for each recipient makes 330 a second. Here everything that recipients share is encoded once
(quoted-printable, RFC 2045), and a recipient's values go between the encoded pieces. A soft line break on either side
of a value keeps every line short whatever its length. Pure: no clock, no random, no I/O.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from urllib.parse import quote

from tasks.mail.addresses import wire_address
from tasks.mail.composing.merge import LONGEST_VALUE, Raw, Slot, one_line, said, tokens
from tasks.mail.ledger import digest, length_prefixed

#: The longest line of a body or a folded header, in octets without its CRLF: RFC 2045 section 6.7, RFC 2047 section 2.
_LINE = 76
#: The longest line anywhere, in octets without its CRLF: RFC 5322 section 2.1.1.
_LONGEST_LINE = 998
#: The octets put in one encoded word: 52 characters, which leaves room for a header's name on the same line.
_WORD_OCTETS = 30
#: The longest quoted display name kept in plain sight; a longer one becomes encoded words, which can be folded.
_QUOTED_NAME = 60

_FOLD = "\r\n "
_SOFT_BREAK = "=\r\n"
_QUOTED_PRINTABLE = {octet: f"={octet:02X}" for octet in range(256) if octet == ord("=") or not 0x20 <= octet <= 0x7E}
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_HEADER_NAME = re.compile(r"[!-9;-~]+")
#: What a server along the way may alter at the start of a line: a dot (SMTP), "From " (mbox).
_GUARDED = re.compile(r"\A(?:\.|F(?=rom ))")
_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
#: What most names are: the same on one line, in HTML and in quoted-printable. Only its length is to be looked at.
_PLAIN_VALUE = re.compile(r"(?!\.|From )[!#-%(-;?-~]+(?: [!#-%(-;?-~]+)*")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9'-]+(?: [A-Za-z0-9'-]+)*")

#: What signs a message, given its headers, each with its line breaks, and its body: one more header, to stand first.
Sign = Callable[[Sequence[str], bytes], str]


@dataclass(frozen=True, slots=True)
class _Splice:
    """A value and the indexes of the pieces it fills, in the text and in the HTML."""

    token: Slot | Raw
    key: str
    in_text: tuple[int, ...]
    in_html: tuple[int, ...]

    def into(self, pieces: list[str], values: Mapping[str, str | None]) -> None:
        value = values.get(self.key)
        if value and len(value) < _LINE and _PLAIN_VALUE.fullmatch(value):
            in_text = in_html = value + _SOFT_BREAK
        else:
            value = self.token.fill(values)
            in_text = in_html = _quoted_printable(value) + _SOFT_BREAK
            if isinstance(self.token, Slot) and (escaped := escape(value)) != value:
                in_html = _quoted_printable(escaped) + _SOFT_BREAK
        for index in self.in_text:
            pieces[index] = in_text
        for index in self.in_html:
            pieces[index] = in_html


@dataclass(frozen=True, slots=True)
class CompiledMessage:
    """A message waiting for its recipients; `compile_message` makes one. Safe to share between threads."""

    _sender: str
    _subject: str | tuple[str | Slot | Raw, ...]
    _fixed: tuple[str, ...]
    _pieces: tuple[str, ...]
    _splices: tuple[_Splice, ...]

    @property
    def largest(self) -> int:
        """The octets of both bodies, at most, whatever the values of merge fields are; raw values are not counted."""
        slots = [splice for splice in self._splices if isinstance(splice.token, Slot)]
        return sum(map(len, self._pieces)) + sum(len(s.in_text + s.in_html) for s in slots) * _LARGEST_VALUE

    def with_headers(self, headers: Mapping[str, str]) -> "CompiledMessage":
        """The same message with these headers besides, after those it has. Raises ValueError for a header's name that
        cannot be one."""
        return replace(self, _fixed=(*self._fixed, *(_header(name, value) for name, value in headers.items())))

    def render(
        self,
        *,
        to_address: str,
        to_name: str,
        message_id: str,
        date: str,
        values: Mapping[str, str | None],
        extra: Mapping[str, str] | None = None,
        sign: Sign | None = None,
    ) -> bytes:
        """The message for one recipient, before dot-stuffing.

        `message_id` and `date` are what those headers say. `values` are keyed by merge field and by the keys of the
        template's raw tokens; `extra` are this recipient's own headers. Raises ValueError for an address that cannot
        stand in a header, KeyError for a raw value that is missing.
        """
        subject = self._subject
        if not isinstance(subject, str):
            subject = _header(
                "Subject", "".join([part if isinstance(part, str) else part.fill(values) for part in subject])
            )
        headers = [
            self._sender,
            _mailbox("To", to_name, to_address),
            subject,
            f"Date: {date}\r\n",
            f"Message-ID: {message_id}\r\n",
            *self._fixed,
        ]
        if extra:
            headers += [_header(name, value) for name, value in extra.items()]
        pieces = list(self._pieces)
        for splice in self._splices:
            splice.into(pieces, values)
        if sign is None:
            return "".join([*headers, "\r\n", *pieces]).encode()
        body = "".join(pieces).encode()
        return "".join([sign(headers, body), *headers, "\r\n"]).encode() + body


def compile_message(*, subject: str, html: str, text: str, mail_from: str) -> CompiledMessage:
    """Encodes what the recipients share. `mail_from` is `address` or `Name <address>`.

    Raises ValueError for a sender's address that cannot be one.
    """
    # Quoted-printable never has "=" before "_", so no body, whatever is spliced into it, can hold the boundary.
    boundary = f"=_{digest(length_prefixed((html, text)))}"
    pieces: list[str] = []
    places: dict[Slot | Raw, dict[str, list[int]]] = {}
    for subtype, body in (("plain", text), ("html", html)):
        pieces.append(
            f'--{boundary}\r\nContent-Type: text/{subtype}; charset="utf-8"\r\n'
            "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        )
        parts = tokens(body)
        for number, part in enumerate(parts, start=1):
            if isinstance(part, str):
                encoded = _quoted_printable(part, ends=number == len(parts))
                at_line_start = encoded.endswith("\r\n")
                pieces.append(encoded if at_line_start or number == len(parts) else encoded + _SOFT_BREAK)
            else:
                places.setdefault(part, {"plain": [], "html": []})[subtype].append(len(pieces))
                pieces.append("")
        pieces.append("\r\n")
    pieces.append(f"--{boundary}--\r\n")

    sender_name, _, sender_address = mail_from.strip().removesuffix(">").rpartition("<")
    subject_parts = tokens(subject)
    return CompiledMessage(
        _sender=_mailbox("From", sender_name.strip(' "'), sender_address),
        _subject=_header("Subject", subject) if all(isinstance(part, str) for part in subject_parts) else subject_parts,
        _fixed=(
            "MIME-Version: 1.0\r\n",
            f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\n',
        ),
        _pieces=tuple(pieces),
        _splices=tuple(
            _Splice(
                token,
                token.field.value if isinstance(token, Slot) else token.key,
                tuple(at["plain"]),
                tuple(at["html"]),
            )
            for token, at in places.items()
        ),
    )


def feedback_id(mailing: str, organisation: str, kind: str) -> str:
    """`MAILING:ORGANISATION:KIND:rollcall`, ids percent-encoded, as the contract's "Mail" says."""
    return ":".join((*(quote(part, safe="", errors="replace") for part in (mailing, organisation, kind)), "rollcall"))


def _header(name: str, value: str) -> str:
    """One header, folded: plain where ASCII can say it, encoded words (RFC 2047) otherwise; never a second header."""
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a header")
    text = one_line(value)
    if _is_plain(text):
        if len(name) + len(text) + 2 <= (_LINE if " " in text else _LONGEST_LINE):
            return f"{name}: {text}\r\n"
        lines = _folded(name, text)
        if max(map(len, lines)) <= _LONGEST_LINE:
            return "".join(f"{line}\r\n" for line in lines)
    return f"{name}: {_encoded_words(text)}\r\n"


def _folded(name: str, text: str) -> list[str]:
    first, *words = text.split(" ")
    lines = [f"{name}: {first}"]
    for word in words:
        if len(lines[-1]) + len(word) < _LINE:
            lines[-1] += f" {word}"
        else:
            lines.append(f" {word}")
    return lines


def _mailbox(header: str, name: str, address: str) -> str:
    """The header that names one person: `To: "Doe, Jane" <jane@example.org>`."""
    address = wire_address(address)
    if len(header) + len(name) + len(address) + 5 <= _LINE and _PLAIN_NAME.fullmatch(name):
        return f"{header}: {name} <{address}>\r\n"
    name = said(name)
    if not name:
        return f"{header}: {address}\r\n"
    if not _is_plain(name) or len(name) > _QUOTED_NAME:
        name = _encoded_words(name)
    elif not _PHRASE.fullmatch(name):
        name = '"{}"'.format(name.replace("\\", r"\\").replace('"', r"\""))
    line = f"{header}: {name}"
    last_line = len(line) - line.rfind("\n") - 1
    return f"{line}{' ' if last_line + len(address) + 3 <= _LINE else _FOLD}<{address}>\r\n"


def _is_plain(text: str) -> bool:
    """Whether a reader sees the text as it is: ASCII that could not be taken for an encoded word."""
    return text.isascii() and "=?" not in text


def _encoded_words(text: str) -> str:
    return _FOLD.join(
        f"=?utf-8?b?{b64encode(octets).decode()}?=" for octets in _characters(text.encode(errors="replace"))
    )


def _characters(octets: bytes) -> Iterator[bytes]:
    """Cuts UTF-8 into pieces of at most _WORD_OCTETS, never inside a character (RFC 2047 section 5)."""
    start = 0
    while start < len(octets):
        end = min(start + _WORD_OCTETS, len(octets))
        while end < len(octets) and octets[end] & 0xC0 == 0x80:
            end -= 1
        yield octets[start:end]
        start = end


def _quoted_printable(text: str, *, ends: bool = False) -> str:
    """The text in quoted-printable, from the start of a line; `ends` when nothing follows its last line.

    It has no two blanks in a row and none at the end of a line: relaxed canonicalisation (RFC 6376 section 3.4.4)
    leaves it as it is, and so a signature holds whatever is done to blanks on the way.
    """
    octets = text.encode(errors="replace").decode("latin-1")
    lines = [line.translate(_QUOTED_PRINTABLE).replace("  ", " =20") for line in _LINE_BREAK.split(octets)]
    last = len(lines) - 1
    return "\r\n".join(
        _soft_broken(f"{line[:-1]}=20" if line.endswith(" ") and (ends or number < last) else line)
        for number, line in enumerate(lines)
    )


def _soft_broken(line: str) -> str:
    """One encoded line as lines of at most _LINE, none starting with what a server would alter on its way."""
    if len(line) < _LINE and not _GUARDED.match(line):
        return line
    pieces = []
    start = 0
    while start < len(line):
        end = start + _LINE - len("=") - len("=XX") + 1
        if end < len(line) and (escape_at := line.rfind("=", end - 2, end)) >= 0:
            end = escape_at
        pieces.append(_GUARDED.sub(lambda match: f"={ord(match[0]):02X}", line[start:end]))
        start = end
    return _SOFT_BREAK.join(pieces)


#: The octets of the largest value in a body: all of it marks that order text, each of which is closed.
_LARGEST_VALUE = len(_quoted_printable(said("\u202e" * (LONGEST_VALUE - 1) + "x")) + _SOFT_BREAK)
