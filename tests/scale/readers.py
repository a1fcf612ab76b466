"""What reads texts of others, each with a text of `n` characters that is made to keep it busy."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from typing import Any

from tasks.announcements import BadMessage, check_message
from tasks.bounces import reader as bounces
from tasks.bounces.rules import judge
from tasks.erasure.rules import Erased, Needles
from tasks.events import decode
from tasks.imports import cells, statuses
from tasks.imports.reader import batches, first_cells, layout_of
from tasks.imports.rules import Field, NotReadable, columns_of
from tasks.imports.staging import Staging
from tasks.mail.composing.merge import said
from tasks.mail.sending.answers import Stage, about
from workers.console import visible

Case = Callable[[int], Callable[[], object]]

_AT = datetime(2026, 1, 1, tzinfo=UTC)
_NEEDLES = Needles.of(
    [
        Erased(
            1,
            1,
            "L",
            _AT,
            _AT,
            [sha256(b"x@y.example").digest()],
            [sha256(b"ab").digest(), sha256(b"cd").digest()],
            None,
        )
    ]
)

#: Two accents that have another order than that in which they stand.
_ACCENTS = "\u0301\u0323"

TEXTS: dict[str, Callable[[int], str]] = {
    "blanks": lambda n: "a" + " " * n + "b",
    "accents": lambda n: "a" + _ACCENTS * (n // 2),
    "zero width": lambda n: "a" + "\u200b" * n + "b",
    "words": lambda n: "a " * (n // 2),
    "apostrophes": lambda n: ";'" * (n // 2),
    "semicolons": lambda n: ";" * n,
    "brackets": lambda n: "(" * n,
    "square brackets": lambda n: "[" * n,
    "quotes": lambda n: '"' * n,
    "escaped quotes": lambda n: '"' + '\\"' * (n // 2),
    "at": lambda n: "a@" * (n // 2),
    "dots": lambda n: "a." * (n // 2),
    "dashes": lambda n: "-" * n,
    "digits": lambda n: "1" * n,
    "codes": lambda n: "5.1." * (n // 4),
    "tags": lambda n: "<b " * (n // 3),
    "comments": lambda n: "<!--" * (n // 4),
    "references": lambda n: "&#" * (n // 2),
    "braces": lambda n: "{{" * (n // 2),
    "slots": lambda n: "{{ first_name " * (n // 14),
    "backslashes": lambda n: "\\" * n,
    "lines": lambda n: "\n" * n,
    "blank lines": lambda n: "\n " * (n // 2),
    "orders": lambda n: "\u202e" * n,
    "controls": lambda n: "\x1b" * n,
    "stars": lambda n: "*a" * (n // 2),
    "links": lambda n: "http://a[" * (n // 9),
    "names": lambda n: "ab cd " * (n // 6),
    "letters": lambda n: "a" * n,
}

_BOUNDARY = (
    "Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: text/plain\n\n{text}\n--b\n"
    "Content-Type: message/delivery-status\n\nStatus: 5.1.1\nAction: failed\nFinal-Recipient: rfc822;{text}\n"
    "Diagnostic-Code: smtp; {text}\n--b--\n"
)
_HTML_BOUNCE = "From: mailer-daemon@x.example\nContent-Type: text/html\n\n{text}"


def _event(type_: str, data: dict[str, Any]) -> bytes:
    return json.dumps({
        "specversion": "1.0", "id": "1", "source": "s", "type": f"platform.{type_}", "time": "2026-01-01T00:00:00Z",
        "organisation": "o", "data": data,
    }).encode()  # fmt: skip


def _said(type_: str, text: str) -> bytes:
    return _event(type_, {"announcement": "a", "subject": "s", "body": text, "audience": {"everyone": True}})


def _decode(body: bytes) -> object:
    return decode(body, now=_AT, skew=timedelta(days=1))


def _checked(body: str) -> None:
    with suppress(BadMessage):
        check_message("About it", body, "Acme")


def _imported(file: bytes) -> None:
    source = BytesIO(file)
    with suppress(NotReadable):
        layout = layout_of(source)
        staging = Staging(layout, date(2026, 1, 1))
        for _ in staging.copied(batches(source, layout)):
            pass


def _paragraphs(text: str, length: int = 9_000) -> str:
    """A long text as a letter may have it."""
    return "\n\n".join(text[at : at + length] for at in range(0, len(text), length))


_JUDGE = statuses.Judge([statuses.StatusColumn(0, "status", statuses.Says.STATUS)], {}, None, date(2026, 1, 1))

READERS: dict[str, Callable[[str], Callable[[], object]]] = {
    "cell": lambda text: lambda: [cells.read(field, text, ours=ours) for field in Field for ours in (False, True)],
    "bare cell": lambda text: lambda: cells.bare(text),
    "safe cell": lambda text: lambda: cells.safe(text),
    "status": lambda text: lambda: _JUDGE.judge([text]),
    "column": lambda text: lambda: statuses.says_of(text),
    "header": lambda text: lambda: _imported(f"id,email,{text}\nA,a@x.example,x\n".encode()),
    "line": lambda text: (
        lambda: _imported(
            f'id,email,status,first name,notes\nA,a@x.example,"{text}","{text}","{text}"\nB,"{text},,,\n'.encode()
        )
    ),
    "line in Latin-1": lambda text: (
        lambda: _imported(
            b"id,email,status,first name\nA,a@x.example,active,\xe9\xe8\n" + f"A,{text},{text},{text}\n".encode()
        )
    ),
    "list of ids": lambda text: lambda: _listed(text.encode()),
    "letter": lambda text: lambda: _checked(_paragraphs(text)),
    "letter with it in a link": lambda text: lambda: _checked(f"[a](https://x.example/{text[:1900]})\n\n" * 4),
    "letter with it in HTML": lambda text: (
        lambda: _checked(_paragraphs(f'<p title="{text[:4000]}">{text[:4000]}</p>\n' * 2))
    ),
    "letter with it in a picture": lambda text: (
        lambda: _checked(
            "\n\n".join([f'<img src="https://x.example/a.png" alt="{text[:1900]}">'] * (len(text) // 1900))
        )
    ),
    "event": lambda text: lambda: _decode(_said("announcement.requested", text)),
    "broken event": lambda text: lambda: _decode(_said("announcement.requested", text)[:-9]),
    "erased event": lambda text: lambda: _NEEDLES.name(_said("announcement.requested", text), "o"),
    "erased broken event": lambda text: lambda: _NEEDLES.name(b'{"organisation":"o",' + text.encode(), "o"),
    "erased text": lambda text: lambda: _NEEDLES.left_of(text, text),
    "report": lambda text: lambda: judge(bounces.read(_BOUNDARY.replace("{text}", text).encode()), null_sender=True),
    "page of a report": lambda text: (
        lambda: judge(bounces.read(_HTML_BOUNCE.replace("{text}", text).encode()), null_sender=True)
    ),
    "headers of a report": lambda text: lambda: judge(bounces.read(f"Subject: {text}\n\n".encode()), null_sender=True),
    "answer": lambda text: lambda: about(550, text, stage=Stage.RCPT),
    "name": lambda text: lambda: said(text),
    "console": lambda text: lambda: visible(text),
}


def _listed(file: bytes) -> None:
    with suppress(NotReadable):
        for _ in first_cells(BytesIO(file)):
            pass


def _columns(names: list[str]) -> None:
    with suppress(NotReadable):
        columns_of(names)


def _erased(n: int) -> Callable[[], object]:
    names = [[sha256(b"f%d" % k).digest(), sha256(b"l%d" % k).digest()] for k in range(n)]
    needles = Needles.of([Erased(k, k, f"L{k}", _AT, _AT, [], names[k], None) for k in range(n)])
    body = _event("learner.status_changed", {"learner": "other", "status": "active"})
    return lambda: [needles.name(body, "o") for _ in range(n // 40)]


REPEATED: dict[str, Case] = {
    "erased learners": _erased,
    "columns for the id": lambda n: lambda: _columns(["id"] * (n // 3)),
    "columns that say who is inactive": lambda n: lambda: _columns(["id", "email", *["suspended"] * (n // 10)]),
    "columns": lambda n: lambda: _columns(["id", "email", "status", *(f"c{k}" for k in range(n // 5))]),
    "deep lists": lambda n: lambda: _decode(b"[" * n),
    "deep event": lambda n: lambda: _decode(_event("learner.deleted", {})[:-2] + b'"x":' + b'{"a":' * (n // 5)),
    "doubled keys": lambda n: lambda: _decode(b'{"data":{' + b'"learner":"a",' * (n // 14)),
    "learners": lambda n: lambda: _decode(_event("segment.joined", {"segment": "s", "learners": ["a"] * (n // 4)})),
}
