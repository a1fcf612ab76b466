"""What people are called, in a mail: text, of a bounded length, that orders nothing but itself."""

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tasks.mail.composing.envelopes import compose
from tasks.mail.composing.merge import LONGEST_VALUE, said
from tasks.mail.composing.message import compile_message
from tasks.mail.composing.templates import LONGEST_LISTING, announcement, listing
from tasks.mail.rules import Kind
from tests.mail.letters import mailing, recipient, sender
from tests.mail.test_merge import ACME, received
from tests.mail.test_message import body, read, recipients, rendered

OPENS = {**dict.fromkeys("\u202a\u202b\u202d\u202e", "\u202c"), **dict.fromkeys("\u2066\u2067\u2068", "\u2069")}

#: Characters that order text and are not seen.
ORDERS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"

#: Names that turn round what stands after them, or end what they did not begin.
TURNING = [
    "Anna\u202e",
    "\u202e\u2067Anna",
    "\u2069Anna\u202c",
    "a\u2066b\u202ec\u2069d",
    "\u200fAnna",
    "\u061c1",
    "\u2067\u2069\u2069\u202e",
]


def is_closed(text: str) -> bool:
    """Whether a text closes all that it opens that orders text (UAX #9), and nothing else."""
    open_: list[str] = []
    for character in text:
        if closes := OPENS.get(character):
            open_.append(closes)
        elif character in "\u202c\u2069" and (not open_ or open_.pop() != character):
            return False
    return open_ == []


@pytest.mark.parametrize("name", TURNING)
@pytest.mark.parametrize("kind", Kind)
def test_a_name_turns_round_nothing_but_itself_in_subject_to_and_body(kind: Kind, name: str) -> None:
    what = mailing(kind, subject="For {{ full_name }}: news", body="Dear {{ first_name }}, hello.", name=name)
    octets = compose(what, recipient(first_name=name, last_name="Ó", items=[name]), sender("a@example.org")).message

    message = read(octets)
    [(shown, _)] = recipients(octets)
    for text in (
        str(message["Subject"]),
        shown,
        str(message["From"]),
        body(octets, "plain"),
        unescape(body(octets, "html")),
    ):
        assert is_closed(text)
    assert re.search("\u2068[^\u2068]*\u2069", shown)
    if kind is Kind.ANNOUNCEMENT:
        assert str(message["Subject"]) == f"For {said(f'{name} Ó')}: news"
        assert body(octets, "plain").startswith(f"Dear {said(name)}, hello.")


@given(st.text(alphabet="ab \u05d0\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))
def test_whatever_orders_a_name_is_closed_and_isolated(name: str) -> None:
    shown = said(name)

    assert is_closed(shown)
    assert re.sub(f"[ {ORDERS}]", "", shown) == re.sub(f"[ {ORDERS}]", "", name)
    assert (shown[:1], shown[-1:]) == ("\u2068", "\u2069") or not re.search(f"[{ORDERS}]", shown)


def test_a_name_of_nothing_but_marks_is_none() -> None:
    assert said(" \u202e \u200f") == ""
    letter = announcement("x", 'Dear {{ first_name | default: "friend" }}', ACME)
    assert received(letter, {"first_name": "\u202e\u200f"})[2].startswith("Dear friend\n")


def test_a_name_that_orders_nothing_is_as_it_was() -> None:
    for name in ("Anna", "Zoë 🎓", "שלום עולם", "محمد", "a\u200db", 'O\'Brien, "JJ" <x>'):
        assert said(name) == name


def test_of_a_name_that_is_too_long_the_beginning_is_said() -> None:
    assert said("x" * LONGEST_VALUE) == "x" * LONGEST_VALUE
    assert said("x" * 2_001) == "x" * (LONGEST_VALUE - 1) + "…"
    who = recipient(first_name="é" * 1_000, last_name="x" * 1_000, items=["y" * 1_000])
    for kind in Kind:
        what = mailing(kind, subject="{{ full_name }}" * 10, body="{{ full_name }} " * 200)
        octets = compose(what, who, sender()).message
        assert recipients(octets) == [("é" * (LONGEST_VALUE - 1) + "…", "anna@example.com")]
        assert len(octets) < 800_000
        assert "é" * LONGEST_VALUE not in body(octets, "plain")


@given(st.text(max_size=LONGEST_VALUE))
@examples(max_examples=60)
def test_no_mail_is_larger_than_was_said_before(value: str) -> None:
    subject, html, text = announcement(
        "x", "Dear {{ first_name }}, {{ first_name }} [x](https://a.example '{{ email }}')", ACME
    )
    message = compile_message(subject=subject, html=html, text=text, mail_from="a@example.org")

    octets = rendered(message, values={"first_name": value, "email": value})
    assert len(octets) - len(octets.partition(b"\r\n\r\n")[0]) <= message.largest + len("\r\n\r\n")


@pytest.mark.parametrize("value", ["\u202e" * 255 + "x", "🎓" * 300, '"' * 300, "&" * 300, "=" * 300])
def test_the_largest_values_are_foreseen(value: str) -> None:
    message = compile_message(subject="x", html="{{ email }}" * 20, text="{{ email }}" * 20, mail_from="a@example.org")

    octets = rendered(message, values={"email": value})
    assert len(octets) - len(octets.partition(b"\r\n\r\n")[0]) <= message.largest + len("\r\n\r\n")


def test_r12_a_notice_lists_thousands_of_courses_and_says_how_many_it_leaves_out() -> None:
    html, text = listing(f"Course {n}" for n in range(5_000))
    assert (html.count("<li"), text.count("\n")) == (5_000, 4_999)

    html, text = listing(f"{n} {'x' * 995}" for n in range(5_000))
    assert len(text) < 2 * LONGEST_LISTING
    assert text.endswith(f"- … (+{5_000 - LONGEST_LISTING // LONGEST_VALUE})")
    assert html.count("<li") == LONGEST_LISTING // LONGEST_VALUE + 1
