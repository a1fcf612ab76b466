"""Messages, compiled once for a mailing and spliced for each recipient.

Building an `EmailMessage` for each recipient makes 330 a second. Here everything that recipients share is encoded once
(quoted-printable, RFC 2045), and a recipient's values go between the encoded pieces. A soft line break on either side
of a value keeps every line short whatever its length. Pure: no clock, no random, no I/O.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from hashlib import blake2b
from html import escape
from urllib.parse import quote

import idna

from tasks.mail.merge import Raw, Slot, one_line, tokens

#: The longest line of a body or a folded header, in octets without its CRLF: RFC 2045 section 6.7, RFC 2047 section 2.
_LINE = 76
#: The longest line anywhere, in octets without its CRLF: RFC 5322 section 2.1.1.
_LONGEST_LINE = 998
#: The octets put in one encoded word: 52 characters, which leaves room for a header's name on the same line.
_WORD_OCTETS = 30
#: The longest quoted display name kept in plain sight; a longer one becomes encoded words, which can be folded.
_QUOTED_NAME = 60
#: The longest address, in octets: RFC 5321 section 4.5.3.1.3, without the angle brackets.
_LONGEST_ADDRESS = 254

_FOLD = "\r\n "
_SOFT_BREAK = "=\r\n"
_QUOTED_PRINTABLE = {octet: f"={octet:02X}" for octet in range(256) if octet == ord("=") or not 0x20 <= octet <= 0x7E}
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_HEADER_NAME = re.compile(r"[!-9;-~]+")
_ATOM = r"""[^\x00-\x20\x7f-\xa0\s\ud800-\udfff"(),:;<>@\[\\\]]+"""
_ADDRESS = re.compile(f"{_ATOM}@{_ATOM}")
#: What a server along the way may alter at the start of a line: a dot (SMTP), "From " (mbox).
_GUARDED = re.compile(r"\A(?:\.|F(?=rom ))")
_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")


@dataclass(frozen=True, slots=True)
class _Splice:
    """A value and the indexes of the pieces it fills."""

    token: Slot | Raw
    in_html: bool
    at: tuple[int, ...]

    def encoded(self, values: Mapping[str, str | None]) -> str:
        value = self.token.fill(values)
        if self.in_html and isinstance(self.token, Slot):
            value = escape(value)
        return _quoted_printable(value) + _SOFT_BREAK


@dataclass(frozen=True, slots=True)
class CompiledMessage:
    """A message waiting for its recipients; `compile_message` makes one. Safe to share between threads."""

    _sender: str
    _subject: tuple[str | Slot | Raw, ...]
    _fixed: str
    _pieces: tuple[str, ...]
    _splices: tuple[_Splice, ...]

    def render(
        self,
        *,
        to_address: str,
        to_name: str,
        message_id: str,
        date: datetime,
        values: Mapping[str, str | None],
        extra: Mapping[str, str] | None = None,
    ) -> bytes:
        """The message for one recipient, before dot-stuffing.

        `date` is aware. `values` are keyed by merge field and by the keys of the template's raw tokens; `extra` are
        this recipient's own headers. Raises ValueError for an address that cannot stand in a header, KeyError for a raw
        value that is missing.
        """
        subject = "".join([part if isinstance(part, str) else part.fill(values) for part in self._subject])
        pieces = list(self._pieces)
        for splice in self._splices:
            encoded = splice.encoded(values)
            for index in splice.at:
                pieces[index] = encoded
        head = (
            self._sender,
            _mailbox("To", to_name, to_address),
            _header("Subject", subject),
            _header("Date", format_datetime(date)),
            _header("Message-ID", message_id),
            self._fixed,
            *(_header(name, value) for name, value in (extra or {}).items()),
            "\r\n",
        )
        return "".join((*head, *pieces)).encode()


def compile_message(
    *, subject: str, html: str, text: str, mail_from: str, headers: Mapping[str, str]
) -> CompiledMessage:
    """Encodes what the recipients share. `mail_from` is `address` or `Name <address>`; `headers` follow Content-Type.

    Raises ValueError for a sender's address or a header's name that cannot be one.
    """
    # Quoted-printable never has "=" before "_", so no body, whatever is spliced into it, can hold the boundary.
    boundary = f"=_{_digest((html, text))}"
    pieces: list[str] = []
    places: dict[tuple[Slot | Raw, bool], list[int]] = {}
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
                places.setdefault((part, subtype == "html"), []).append(len(pieces))
                pieces.append("")
        pieces.append("\r\n")
    pieces.append(f"--{boundary}--\r\n")

    sender_name, _, sender_address = mail_from.strip().removesuffix(">").rpartition("<")
    return CompiledMessage(
        _sender=_mailbox("From", sender_name.strip(' "'), sender_address),
        _subject=tokens(subject),
        _fixed="MIME-Version: 1.0\r\n"
        f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\n'
        + "".join(_header(name, value) for name, value in headers.items()),
        _pieces=tuple(pieces),
        _splices=tuple(_Splice(token, in_html, tuple(at)) for (token, in_html), at in places.items()),
    )


def message_id(parts: Iterable[str], domain: str) -> str:
    """The same Message-ID for the same parts, however often asked (R19): `<digest@domain>`."""
    return f"<{_digest(parts)}@{_ascii_domain(domain)}>"


def feedback_id(mailing: str, organisation: str, kind: str) -> str:
    """`MAILING:ORGANISATION:KIND:rollcall`, ids percent-encoded, as the contract's "Mail" says."""
    return ":".join((*(quote(part, safe="", errors="replace") for part in (mailing, organisation, kind)), "rollcall"))


def wire_address(address: str) -> str:
    """The address as a server is told it: an international domain in ASCII (IDNA 2008) where the local part is ASCII.

    Raises ValueError for what is not one plain `local@domain`: control characters, spaces, brackets, quotes, commas.
    """
    if not _ADDRESS.fullmatch(address) or len(address.encode()) > _LONGEST_ADDRESS:
        raise ValueError(f"{address!r} is not an address that mail can be sent to")
    local, domain = address.split("@")
    return f"{local}@{_ascii_domain(domain)}" if local.isascii() else address


def needs_smtputf8(address: str) -> bool:
    """Whether only a server that offers SMTPUTF8 (RFC 6531) can take this address: its local part is not ASCII."""
    return not address.rpartition("@")[0].isascii()


def _ascii_domain(domain: str) -> str:
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError as error:
        raise ValueError(f"{domain!r} is not a domain that mail can be sent to: {error}") from error


def _digest(parts: Iterable[str]) -> str:
    """Forty hexadecimal digits; each part goes in with its length, so that ("ab", "c") and ("a", "bc") differ."""
    digest = blake2b(digest_size=20)
    for part in parts:
        octets = part.encode(errors="replace")
        digest.update(len(octets).to_bytes(8, "big") + octets)
    return digest.hexdigest()


def _header(name: str, value: str) -> str:
    """One header, folded: plain where ASCII can say it, encoded words (RFC 2047) otherwise; never a second header."""
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a header")
    text = one_line(value)
    if _is_plain(text):
        if len(name) + len(text) + 2 <= _LINE:
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
    name = one_line(name)
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
    """The text in quoted-printable, from the start of a line; `ends` when nothing follows its last line."""
    octets = text.encode(errors="replace").decode("latin-1")
    lines = [line.translate(_QUOTED_PRINTABLE) for line in _LINE_BREAK.split(octets)]
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
