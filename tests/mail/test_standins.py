"""What stands in for merge fields: nobody can write it, nothing of it is left, and what it leads to is text."""

import re
import subprocess
import sys
from time import process_time
from typing import Any

import nh3
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tasks.mail.composing.cleaning import clean
from tasks.mail.composing.markdown import LONGEST_BODY, letter
from tasks.mail.composing.merge import MergeError, MergeField, Slot, parse
from tasks.mail.composing.placeholders import FieldInAddress, Placeholders
from tasks.mail.composing.templates import announcement
from tests.mail.test_markdown import body, is_clean, refused
from tests.mail.test_merge import ACME, ANNA, received

#: A body that stopped the stream of events for everybody, and others of its kind.
FORGED = [
    '<p><a href="https://x/&#xFDD0;5&#xFDD1;">y</a></p>',
    "<p>&#xFDD0;0&#xFDD1; {{ email }}</p>",
    '<p><a href="https://x/?q=&#xFDD0;1&#xFDD1;">y</a> {{ email }} <img src="https://x/&#xFDD0;1&#xFDD1;" alt=z></p>',
    "&#xFDD0;0&#xFDD1; \ufdd00\ufdd1 {{ email }}",
    "<p>&#xFDD0;99999999999999999999&#xFDD1;",
    "<p>&#xE000;0&#xE000; \ue0000\ue000",
    '[x](https://x/ "&#xFDD0;1&#xFDD1; {{ email }}")',
    "<script>alert(1)</script>\n\n<p>&#xFDD0;0&#xFDD1;",
]


def paragraphs(much: str, *, of: int = LONGEST_BODY - 20_000) -> str:
    """As much of it as a body holds, in paragraphs that are as long as they may be."""
    one = much * (9_900 // len(much))
    return "\n\n".join([one] * (of // (len(one) + 2)))


#: Bodies of which a few octets became gigabytes, and what is said of each.
BOMBS = {
    "forged stand-ins": (f"{'x' * 9_000}\n\n{paragraphs('<p>&#xFDD0;0&#xFDD1;</p>')}", ""),
    "fields": (paragraphs("{{ full_name }} "), "The body has 14832 merge fields; at most 200"),
    "fields in titles": (
        f'[a]: https://a.example/ "{"{{ email }}" * 50}"\n\n{"[a] " * 400}',
        "The body has 20000 merge fields; at most 200",
    ),
    "long defaults": (f'{{{{ email | default: "{"x" * 9_000}" }}}}\n\n' * 25, "Line 1: the default of email has more"),
    "elements that are opened again": (
        "\n\n".join(
            f"<p>{''.join(f'<b x{n}>' for n in range(k, k + 600))}</p>{'<p>x</p>' * 550}"
            for k in range(1_000, 7_000, 600)
        ),
        "The body has too many marks",
    ),
    "empty cells": (
        ("|a" * 250 + "|\n" + "|-" * 250 + "|\n" + "|\n" * 240 + "\n") * 20,
        "Line 1: the tables have more than 5000 cells.",
    ),
    "nested pictures": (
        "![" * 350 + "x" + "](https://a.example/x.png)" * 350,
        "Line 1: […](…) is not a link as it stands",
    ),
    "nested elements": (paragraphs("<div>", of=30_000) + "x", ""),
    "nested cells": (paragraphs("<table><tr><td>", of=150_000) + "x", "The body has too many marks"),
    "values": ("{{ email }} " * 200 + "\n\n" + paragraphs("学 ", of=110_000), "The mail could have"),
    "characters that are none": (paragraphs("\0 "), "The mail could have"),
    "organisations": ("{{ organisation }}" * 201, "The body has 201 merge fields; at most 200"),
}


@pytest.mark.parametrize("forged", FORGED)
def test_what_an_author_writes_is_never_taken_for_a_stand_in(forged: str) -> None:
    letter = announcement("\ufdd00\ufdd1 {{ username }}", forged, ACME)
    subject, page, text = received(letter, ANNA)

    assert subject == "\ufdd00\ufdd1 anna"
    assert is_clean(body(forged))
    assert "anna@example.org" not in str(page.links)
    for said in (page.text, text):
        assert said.count("anna@example.org") == ('title="' not in body(forged)) * forged.count("{{ email }}")
        assert "<script" not in said


@given(
    st.lists(
        st.sampled_from(["{{ email }}", "\ue000", "&#xE000;", "0", "1", "*", "`", "<b>", "\n\n"]) | st.text(max_size=3)
    )
)
@examples(max_examples=60)
def test_each_field_is_said_as_often_as_it_was_written_and_no_stand_in_is_left(pieces: list[str]) -> None:
    text = "".join(pieces) + "x"
    try:
        parts = parse(text)
        placeholders = Placeholders(parts)
        html, said = letter(text, parts, placeholders)
    except MergeError:
        return
    slots = sum(isinstance(part, Slot) for part in parts)
    assert placeholders.count(html) <= slots
    for finished in (placeholders.finish(html, str), placeholders.finish(said, str)):
        assert Placeholders(parts).finish(finished, str) == finished
        assert finished.count("{{ email }}") <= slots


def test_a_stand_in_that_is_not_one_is_refused() -> None:
    placeholders = Placeholders(("a", Slot(MergeField.EMAIL)))
    mark = re.match("a(.*?)1", placeholders.source)[1]  # type: ignore[index]

    assert placeholders.finish(placeholders.source, str) == "a{{ email }}"
    for forged in (f"{mark}0{mark}", f"{mark}7{mark}", f"{mark}1", f"{mark}x{mark}", f"{mark}9999999{mark}"):
        with pytest.raises(MergeError):
            placeholders.finish(forged, str)
    assert Placeholders(("a",)).source == "a"
    assert len({Placeholders((Slot(MergeField.EMAIL),)).source for _ in range(100)}) == 100


def test_what_the_check_of_an_attribute_raises_is_raised_and_leaves_no_attribute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cleaned: list[str] = []
    really_clean = nh3.clean

    def watched(html: str, **how: Any) -> str:
        cleaned.append(really_clean(html, **how))
        return cleaned[-1]

    monkeypatch.setattr(nh3, "clean", watched)

    def wrong(address: str) -> None:
        raise FieldInAddress(0) if "field" in address else MemoryError

    with pytest.raises(MemoryError):
        clean('<a href="https://a.example/" title="x">y</a>', wrong)
    with pytest.raises(FieldInAddress):
        clean('<img src="https://a.example/field">', wrong)
    assert len(cleaned) == 2
    assert "https://" not in "".join(cleaned)


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_would_become_gigabytes_is_refused_before(bomb: str) -> None:
    written, refusal = BOMBS[bomb]

    assert len(written) <= LONGEST_BODY
    why = refused(written)
    assert why.startswith(refusal)
    assert (refusal == "") is (why == "")


@pytest.mark.serves
def test_no_body_takes_much_memory() -> None:
    """In a process of its own: what one has had of memory, it does not give back."""
    code = (
        "from resource import RUSAGE_SELF, getrusage\n"
        "from tests.mail.test_standins import BOMBS, refused\n"
        "before = getrusage(RUSAGE_SELF).ru_maxrss\n"
        "for written, _ in BOMBS.values(): refused(written)\n"
        "print(getrusage(RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200 * 1024


@pytest.mark.parametrize(
    "written",
    [
        'htt{{ last_name | default: "ps://evil.example/" }}{{ email }}',
        'htt{{ last_name | default: "ps://evil.example/" }} {{ email }}',
        '{{ first_name | default: "x.example/a" }}{{ email }}',
        '{{ first_name | default: "https://x.example/" }}{{ email | default: "nobody" }}',
        '{{ first_name | default: "https:" }}{{ last_name | default: "//x.example" }}/{{ email }}',
        'w{{ last_name | default: "ww.x.example/" }}{{ email }}',
        'x.exam{{ last_name | default: "ple" }}/{{ email }}',
        '{{ email }}{{ last_name | default: "@x.example" }}',
        "https://x.example/{{ email }}",
        "<https://x.example/>{{ email }}",
        "https://x.example/(a){{ email }}",
        "https://x.example/({{ email }}",
        "https://x.example/]({{ email }}",
        "https://x.example/((a){{ email }}",
        "x.example/(a{{ email }}",
        "ftp://x.example/{{ email }}",
        "app+x://{{ email }}",
        "{{ username }}://x.example",
        "x.example/{{ email }}",
        "x.example:8080/{{ email }}",
        "x.example?{{ email }}",
        "x.example#{{ email }}",
        "«..x.example/{{ email }}»",
        "пример.рф/{{ email }}",
        "x.xn--p1ai/{{ email }}",
        "192.0.2.1/{{ email }}",
        "{{ username }}.example/x",
        "{{ username }}.evil.example",
        "www.{{ username }}.example",
        "{{ username }}www.x.example",
        "{{ username }}@x.example",
        "x@x.example{{ email }}",
        "x@{{ organisation }}.example",
        "mailto:{{ email }}",
        "sip:{{ email }}",
        "mailto:a@a.examplehttp://a.example{{ email }}",
        "x@x.examplewww.x{{ email }}",
    ],
)
def test_no_field_touches_what_mail_programs_link(written: str) -> None:
    assert "Line 3: the address of a link cannot hold a merge field" in refused(f"Hello\n\n{written}")


@pytest.mark.parametrize(
    "written",
    [
        "Hello {{ first_name }}.",
        'Hello {{ first_name | default: "there" }}.Welcome to example.org, {{ first_name }}.',
        "{{ first_name }}/{{ last_name }}",
        '{{ first_name | default: "Sir" }}/{{ last_name | default: "Madam" }}',
        "({{ email }})",
        "user:{{ username }}, gossip:{{ username }}, @{{ username }}",
        "{{ first_name }}@{{ organisation }}",
        'Is it you, {{ full_name | default: "Mr.Smith" }}?',
        'e.g.{{ first_name | default: "you" }}, and/or {{ email }}/{{ username }}',
        "On 26.11.2026/{{ organisation }}",
        'Write to {{ email | default: "help@acme.example" }}.',
        'See {{ last_name | default: "https://acme.example/a" }}, and {{ email }}',
        "{{ first_name }}: https://acme.example/ {{ email }}",
        "[{{ first_name }}](https://acme.example/){{ email }}",
    ],
)
def test_a_field_stands_anywhere_else(written: str) -> None:
    assert body(f"Hello\n\n{written}")


def test_addresses_are_looked_for_in_a_time_that_grows_with_the_text() -> None:
    seconds = []
    for word in ("a", "a.", "a.bb.", "a@", "a@b.", "www.(", "://", "x.org/(", "1.", "-", "xn--"):
        parts = parse("{{ email }}\n" + paragraphs(word, of=40_000))
        placeholders = Placeholders(parts)
        began = process_time()
        placeholders.refuse_in_addresses(placeholders.source)
        seconds.append(process_time() - began)
    assert max(seconds) < 5, "if a word is read again from each of its letters, it takes minutes"
