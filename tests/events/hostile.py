"""Malformed and hostile inputs, as many as wanted, the same for the same seed: none of them may have an effect."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Any

from tasks.events import Event, decode

#: Whose everything is; and who knows nothing of it, but is known.
OURS, OTHERS = "acme", "globex"

LEARNER = {
    "learner": "A", "username": "user-A", "email": "a@acme.example", "first_name": "Ada", "last_name": "A",
    "locale": "en", "time_zone": "Europe/Amsterdam", "status": "active", "version": 3,
}  # fmt: skip

#: Data of each type that would have an effect, each field of it present.
GOOD: dict[str, dict[str, Any]] = {
    "organisation.saved": {
        "name": "Acme", "licence": "credits", "pool": 5, "licence_starts": "2026-01-01", "licence_ends": "2026-12-31",
        "admin_emails": ["boss@acme.example"], "reactivation_digest": True, "logo": "https://acme.example/logo.png",
        "colour": "#0a0b0c",
    },
    "learner.saved": LEARNER,
    "learner.status_changed": {"learner": "A", "status": "inactive", "version": 9},
    "learner.deleted": {"learner": "A"},
    "segment.saved": {"segment": "nurses", "name": "Nurses, changed"},
    "segment.joined": {"segment": "nurses", "learners": ["B"]},
    "segment.left": {"segment": "nurses", "learners": ["A"]},
    "course.saved": {
        "course": "safety", "title": "Changed", "cost": 9, "on_hold": True, "method": "segments",
        "segments": ["nurses"],
    },
    "enrolment.requested": {
        "request": "r", "course": "law", "cycle": 2, "notify": False, "learners": ["A"], "tab": "all",
    },
    "enrolment.withdrawn": {"course": "safety", "learners": ["A"], "cycle": 1},
    "course.started": {"learner": "A", "course": "safety", "cycle": 1},
    "course.completed": {"learner": "A", "course": "safety", "cycle": 1, "result": "passed", "score": 9.5},
    "announcement.requested": {
        "announcement": "news", "subject": "News", "body": "Hello", "audience": {"everyone": True},
        "send_at": "2099-01-01T09:00:00+00:00", "time_zone": "UTC",
    },
}  # fmt: skip

#: What stands where something else belongs, as JSON.
WRONG = [
    "null", "true", "false", "0", "-1", "7", "7.0", "1.5", "1e400", "-1e400", "1e-400", "9" * 5000, "-" + "9" * 400,
    str(2**63), str(2**64), '""', '"x"', json.dumps("x" * 201), json.dumps("\U0001f600" * 1001), '"a\\u0000b"',
    '"\\ud800"', '"\\udc00\\ud800"', "[]", "[[]]", "[null]", '["x", 7]', "{}", '{"everyone": true, "learners": []}',
    "NaN", "Infinity", "-", "01", "'x'", '"\n"', '"2026-02-30"', '"0001-01-01T00:00:00+14:00"',
    '"9999-12-31T23:59:59-14:00"', '"2999-01-01T00:00:00Z"', '"2026-01-10T09:00:00"', "[" * 500 + "]" * 500,
]  # fmt: skip

#: Depths of nesting, of which the deepest are rare.
DEPTHS = [1_100, 3_000, 20_000, 100_000]


class Signing(StrEnum):
    """How a post is signed."""

    RIGHT = "right"
    WRONG = "wrong key"
    OLD = "too old"
    ALTERED = "altered"
    ABSENT = "not at all"
    ODD = "odd headers"


@dataclass(frozen=True, slots=True)
class Hostile:
    """One input. What is not signed right may be a good event, and is then for posting alone."""

    kind: str
    body: bytes
    signing: Signing = Signing.RIGHT


def event(type_: str, data: dict[str, Any], id_: str, organisation: str = OURS) -> dict[str, Any]:
    """An event, well formed, that happens now."""
    return {
        "specversion": "1.0",
        "id": id_,
        "source": "urn:hostile",
        "type": f"platform.{type_}",
        "time": datetime.now(UTC).isoformat(),
        "organisation": organisation,
        "data": data,
    }


def inputs(seed: int, *, posted: bool) -> Iterator[Hostile]:
    """Inputs without end, for the stream or to be `posted`. Whatever happens to be an event of use is left out."""
    random = Random(seed)  # noqa: S311 - repeatable, not secret
    kinds = list(_KINDS)
    number = 0
    while True:
        number += 1
        id_ = f"h{seed}-{number}"
        if posted and random.random() < 0.2:
            signing = random.choice(list(Signing)[1:])
            yield Hostile(f"signed: {signing}", _good(random, id_), signing)
        elif random.random() < 0.05:
            yield Hostile("another organisation's", _foreign(random, id_))
        else:
            kind = random.choices(kinds, [_KINDS[one][0] for one in kinds])[0]
            body = _KINDS[kind][1](random, id_)
            if not isinstance(decode(body, now=datetime.now(UTC), skew=timedelta(days=1)), Event):
                yield Hostile(kind, body)


def _good(random: Random, id_: str) -> bytes:
    type_ = random.choice(list(GOOD))
    return json.dumps(event(type_, GOOD[type_], id_)).encode()


def _foreign(random: Random, id_: str) -> bytes:
    """Of an organisation that does not know what it names; it waits, there, for ever."""
    type_ = random.choice(["course.started", "course.completed", "enrolment.requested", "enrolment.withdrawn"])
    return json.dumps(event(type_, GOOD[type_], id_, OTHERS)).encode()


def _noise(random: Random, _id: str) -> bytes:
    return random.randbytes(random.randrange(1, 400))


def _cut(random: Random, id_: str) -> bytes:
    good = _good(random, id_)
    return good[: random.randrange(len(good))]


def _altered(random: Random, id_: str) -> bytes:
    """A good event with a few octets changed, put in or left out."""
    body = bytearray(_good(random, id_))
    for _ in range(random.randrange(1, 6)):
        at = random.randrange(len(body))
        body[at : at + random.randrange(3)] = random.randbytes(random.randrange(3))
    return bytes(body)


def _places(document: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Every field of an event: what it is in, and its name."""
    envelope = [(document, name) for name in document]
    return envelope + [(document["data"], name) for name in document["data"]]


def wrong_type(random: Random, id_: str) -> bytes:
    """A good event with something else where a field's value belongs."""
    type_ = random.choice(list(GOOD))
    document = event(type_, deepcopy(GOOD[type_]), id_)
    inside, name = random.choice(_places(document))
    inside[name] = "\x01here\x01"
    return json.dumps(document).replace('"\\u0001here\\u0001"', random.choice(WRONG)).encode()


def _wrong_keys(random: Random, id_: str) -> bytes:
    """A good event without one of its fields, with it under another name, or with it twice."""
    type_ = random.choice(list(GOOD))
    document = event(type_, deepcopy(GOOD[type_]), id_)
    inside, name = random.choice(_places(document))
    old = inside.pop(name)
    choice = random.randrange(3)
    if choice == 1:
        inside[name.upper()] = old
    elif choice == 2:
        inside["\x01here\x01"] = 0
        pair = f'"{name}": {json.dumps(old)}, "{name}": {random.choice(WRONG)}'
        return json.dumps(document).replace('"\\u0001here\\u0001": 0', pair).encode()
    return json.dumps(document).encode()


def _nested(random: Random, id_: str) -> bytes:
    """A good event with brackets in brackets, in a field that is asked for or in one that is not; or brackets alone."""
    depth = random.choices(DEPTHS, [30, 20, 4, 1])[0]
    open_, close = random.choice([("[", "]"), ('{"":', "}")])
    brackets = open_ * depth + "0" + close * random.choice([depth, 0, depth - 1])
    if random.random() < 0.2:
        return brackets.encode() + id_.encode()
    name = random.choice(['"id"', '"data"', '"learner"'])
    return _good(random, id_).replace(name.encode(), f'"extra": {brackets}, {name}'.encode(), 1)


def _odd_text(random: Random, id_: str) -> bytes:
    """A good event with octets in its texts that are no text."""
    odd = random.choice([b"\x00", b"\\u0000", b"\\ud800", b"\xed\xa0\x80", b"\xff", b"\xc0\x80", b"\x1b", b"\\x", b'"'])
    body = _good(random, id_)
    at = body.index(b'"data"') if random.random() < 0.5 else body.index(id_.encode())
    at = body.find(b'": "', at) + 4 if random.random() < 0.5 else at + 1
    return body[:at] + odd + body[at:]


def _overlong(random: Random, id_: str) -> bytes:
    """A good event one of whose texts is longer than it may be."""
    type_ = random.choice(list(GOOD))
    document = event(type_, deepcopy(GOOD[type_]), id_)
    inside, name = random.choice(_places(document))
    inside[name] = chr(random.choice([0x41, 0xE9, 0x1F600])) * random.choice([201, 1001, 5000])
    return json.dumps(document, ensure_ascii=False).encode()


def _no_object(random: Random, id_: str) -> bytes:
    """JSON, and no event."""
    return (
        random.choice(['"%s"', '["%s"]', '{"id": "%s"}', '{"%s": 0}', "\ufeff%s", "0 // %s"])
        .replace("%s", id_)
        .encode()
    )


#: Each kind, with how often it comes.
_KINDS: dict[str, tuple[int, Callable[[Random, str], bytes]]] = {
    "noise": (100, _noise),
    "cut short": (100, _cut),
    "altered": (200, _altered),
    "of the wrong type": (300, wrong_type),
    "with wrong keys": (100, _wrong_keys),
    "nested": (4, _nested),
    "of odd text": (100, _odd_text),
    "overlong": (50, _overlong),
    "no object": (50, _no_object),
}
