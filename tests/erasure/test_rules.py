"""Whether a text names somebody who was erased, and what is left of it: S15, R35."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from tasks.erasure.rules import NOBODY, Erased, Needles

GONE = datetime(2026, 3, 1, tzinfo=UTC)


def digest(text: str) -> bytes:
    return sha256(text.lower().encode()).digest()


def erased(id_: str, *digests: str, names: tuple[str, ...] = ()) -> Erased:
    return Erased(1, 1, id_, GONE, GONE, [digest(one) for one in digests], [digest(one) for one in names], None)


def needles() -> Needles:
    """Three who were erased."""
    return Needles.of(
        [
            erased("A", "ann.b@acme.example", "ann77", "ab", names=("Ann", "Baker")),
            erased("C", "carl@acme.example", names=("Carl",)),
            erased("M", "mo@acme.example", names=("Mo", "Rose Li")),
        ]
    )


def event(type_: str, data: dict[str, Any], *, at: datetime = GONE, organisation: str = "acme") -> bytes:
    return json.dumps(
        {
            "specversion": "1.0", "id": "e1", "source": "p", "type": f"platform.{type_}", "time": at.isoformat(),
            "organisation": organisation, "data": data, "extra": "not asked for",
        }
    ).encode()  # fmt: skip


def saved(id_: str, **other: Any) -> bytes:
    return event("learner.saved", {"learner": id_, "username": "u"}, **other)


def completed(id_: str, result: str | None, **other: Any) -> bytes:
    return event("course.completed", {"learner": id_, "course": "c", "result": result}, **other)


def announced(subject: str, body: str = "Hello.") -> bytes:
    said = {"announcement": "n", "subject": subject, "body": body, "audience": {"everyone": True}}
    return event("announcement.requested", said)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (saved("A"), True),
        (saved("A", at=GONE + timedelta(seconds=1)), False),  # which makes them anew
        (saved("A", organisation="globex"), False),
        (saved("B"), False),
        (event("learner.status_changed", {"learner": "A", "status": "active"}), False),  # an id alone is no name
        (event("segment.saved", {"segment": "s", "name": "ANN77"}), True),
        (event("segment.saved", {"segment": "s", "name": "ann77 and others"}), False),  # no letter: whole texts alone
        (event("segment.saved", {"segment": "Ann", "name": "baker"}), True),
        (event("segment.saved", {"segment": "s", "name": "Ann"}), False),  # half a name is nobody's
        (event("segment.saved", {"segment": "s", "name": "Carl"}), False),
        (event("segment.saved", {"segment": "Ann", "name": "Carl"}), False),
        (completed("A", "passed"), True),  # whatever words it is said in
        (completed("A", None), False),
        (completed("A", "passed", at=GONE + timedelta(seconds=1)), False),
        (completed("B", "passed"), False),
        (announced("News"), False),
        (announced("About Ann Baker"), True),
        (announced("News", "Write to ann.b@acme.example."), True),
        (b'{"organisation": "acme", "data": {"learner": "A", "username"', True),
        (b'{"organisation": "acme", "data": {"learner": "\\u0041", "username"', True),
        (b'{"organisation": "acme", "data": {"learner": "B", "username"', False),
        (b'{"organisation": "globex", "data": {"learner": "A"}}', False),
        (b'{"data": {"learner": "A"}', True),  # of whom nobody says whose they are
        (b"carl@acme.example", True),
        (b"carl@acme.example.", True),
        (b'{"name": "\\u0061nn77"', True),
        (b'{"text": "for Ann Baker"', True),
        (b'{"text": "for \xff Ann Baker"', True),
        (b'{"text": "\\x \xff for Ann Baker"', True),  # which no reader of JSON takes
        (b'{"text": "for nobody"', False),
    ],
)
def test_s15_what_names_somebody_who_was_erased_is_found(body: bytes, names: bool) -> None:
    assert needles().name(body, "acme") is names


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Nothing.", "Nothing."),
        ("", ""),
        ("Ask ann.b@acme.example.", "Ask NN."),
        ("Ask ANN.B@acme.example, or ann77!", "Ask NN, or NN!"),
        ("ab is short", "ab is short"),
        ("Ann Baker came", "NN came"),
        ("Baker, Ann came", "NN came"),
        ("Ann.Baker", "NN"),
        ("Ann **Baker**", "NN**"),
        ("Ann is not Carl", "Ann is not Carl"),
        ("Ann Carl", "Ann Carl"),
        ("Ann Baker; Ann, and Baker, an ann, a baker", "NN; NN, and NN, an ann, a baker"),
        ("ann77 knows Baker", "NN knows NN"),
        ("carl@acme.example knows Ann", "NN knows Ann"),
        ("Mo Rose Li", "NN"),
        ("{{ Ann Baker }}", "{{ Ann Baker }}"),
        ("Ann Baker Ann Baker", "NN"),
    ],
)
def test_s15_what_somebody_wrote_is_left_without_them(text: str, left: str) -> None:
    assert needles().left_of(text) == [left]


#: An address of more parts than a name has.
LONG = "a.b.c.d.e.f.g.h.i.j.k@acme.example"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("so ab knows Ann", "so ab knows Ann"),
        ("a77 knows Baker", "NN knows NN"),
        ("mo@acme.example and rose li", "NN and NN"),
        (f"Ask {LONG}? Or {LONG}.", "Ask NN? Or NN."),
        ("Ask j.r.r.t.k", "Ask NN"),
        ("Ana Maria da Luz Reis", "NN"),
        ("Eva Ana Maria da Luz Sol", "Eva Ana Maria da Luz Sol"),  # more blanks than are looked over
        ("a, b, c, d, e", "a, b, c, d, e"),
        ("a\udcffb c@\udcff.example", "a\udcffb c@\udcff.example"),
    ],
)
def test_s15_what_is_looked_for_has_a_least_and_a_most(text: str, left: str) -> None:
    found = Needles.of(
        [
            erased("A", "ab", "a77", "j.r.r.t.k", LONG, "a, b, c, d, e", names=("Ann", "Baker")),
            erased("D", "d@acme.example", names=("Ana Maria da Luz", "Reis")),
            erased("E", "e@acme.example", names=("Eva Ana Maria da Luz", "Sol")),
            erased("M", "mo@acme.example", names=("Mo", "Rose Li")),
        ]
    )

    assert found.left_of(text) == [left]


def test_s15_the_parts_of_a_text_are_read_together() -> None:
    assert needles().left_of("About Ann", "Ann Baker left.", "Carl") == ["About NN", "NN left.", "Carl"]
    assert needles().left_of() == []
    assert NOBODY == "NN"


@pytest.mark.parametrize("body", [saved("A"), saved("B"), b"nothing that can be read", b'{"data": {}}'])
def test_s15_nothing_is_left_of_what_describes_somebody_or_cannot_be_read(body: bytes) -> None:
    assert needles().without(body) is None


def test_s15_what_is_left_of_an_event_can_be_taken_and_has_no_field_that_nobody_asked_for() -> None:
    left = needles().without(announced("About Ann", "Ann Baker left."))

    assert left is not None
    found = json.loads(left)
    assert (found["id"], found["organisation"], found["type"]) == ("e1", "acme", "platform.announcement.requested")
    assert (found["data"]["subject"], found["data"]["body"]) == ("About NN", "NN left.")
    assert "extra" not in found
    of_a, of_b = needles().without(completed("A", "Ann passed")), needles().without(completed("B", "passed"))
    assert of_a is not None
    assert of_b is not None
    assert json.loads(of_a)["data"]["result"] is None
    assert json.loads(of_b)["data"]["result"] == "passed"
    segment = needles().without(event("segment.saved", {"segment": "s", "name": "Ann Baker"}))
    assert segment is not None
    assert json.loads(segment)["data"] == {"segment": "s", "name": "Ann Baker"}


def test_r35_a_text_says_who_somebody_is_or_does_not() -> None:
    assert needles().says("A,ann77,Ann,Baker")
    assert not needles().says("B,ben,Ben,Baker")
