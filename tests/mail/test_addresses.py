"""Addresses as people paste them, and as they survive in the plain text of a mail."""

import re
from html import unescape
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tasks.mail.composing.autolinks import in_text
from tasks.mail.composing.envelopes import compose
from tasks.mail.composing.links import Links
from tasks.mail.composing.markdown import letter
from tasks.mail.composing.merge import MergeError, parse
from tasks.mail.composing.placeholders import Placeholders
from tasks.mail.composing.templates import announcement, check_announcement
from tasks.mail.rules import Kind
from tests.mail.letters import LINKS, mailing, recipient, sender
from tests.mail.test_markdown import body
from tests.mail.test_merge import ACME, Page, received
from tests.mail.test_message import body as part

#: An address that holds what Markdown would take for its own marks.
MARKED = "https://example.org/__preview__/course?x=1"


def said(markdown: str) -> tuple[Page, str]:
    """The body of an announcement, as HTML and as text."""
    _, _, text = received(announcement("x", markdown, ACME), {})
    return Page(body(markdown)), text.partition("\n\n-- \n")[0]


@pytest.mark.parametrize(
    ("address", "href"),
    [
        (MARKED, MARKED),
        ("https://example.org/*2026*/programme", "https://example.org/*2026*/programme"),
        ("https://example.org/~~old~~/x", "https://example.org/~~old~~/x"),
        ("https://example.org/?ids[]=1&a=b_c_d", "https://example.org/?ids%5B%5D=1&a=b_c_d"),
        ("https://en.wikipedia.org/wiki/A_(b)", "https://en.wikipedia.org/wiki/A_(b)"),
        ("https://müller.example/__ü__/x", "https://xn--mller-kva.example/__%C3%BC__/x"),
        ("HTTP://Example.org/__A__", "HTTP://Example.org/__A__"),
        ("https://example.org/prüfung/__1__/a", "https://example.org/pr%C3%BCfung/__1__/a"),
        ("www.example.org/__a__/b", "http://www.example.org/__a__/b"),
        ("anna_b__c@example.org", "mailto:anna_b__c@example.org"),
    ],
)
@pytest.mark.parametrize(
    "around",
    ["{}", "See {} now.", "{}.", "({})", "**{}**", "*see {}*", "- {}\n", "# {}\n", "> {}", "|a|\n|-|\n|{}|", "“{}”"],
)
def test_a_pasted_address_is_a_link_and_stays_as_it_was_written(address: str, href: str, around: str) -> None:
    page, text = said(around.format(address))

    assert page.links == [href]
    assert address in page.text
    assert address in text or in_text(address) in text


def test_the_sentence_around_an_address_is_no_part_of_it() -> None:
    page, text = said(
        "(Is it https://a.example/x?) **https://b.example/y**, _https://c.example/z_; 见https://d.example/。好"
    )

    assert page.links == ["https://a.example/x", "https://b.example/y", "https://c.example/z", "https://d.example/"]
    assert text == "(Is it https://a.example/x?) https://b.example/y, https://c.example/z; 见https://d.example/。好"


@pytest.mark.parametrize(
    "address",
    ["teams://meet/__1__/x", "ftp://example.org/__a__", "example.org/_2026_/programme", "//example.org/*a*/b"],
)
def test_an_address_that_is_no_link_of_ours_stays_as_it_was_written(address: str) -> None:
    page, text = said(f"See {address} now.")

    assert page.links == []
    assert (page.text, text) == (f"See {address} now.",) * 2


def test_marks_of_html_and_of_markdown_in_an_address_are_read() -> None:
    page, text = said(r"https://a.example/\_\_x\_\_/?b=1&amp;c=2 now")

    assert page.links == ["https://a.example/__x__/?b=1&c=2"]
    assert (page.text, text) == ("https://a.example/__x__/?b=1&c=2 now",) * 2


def test_an_address_in_code_or_in_a_link_is_only_that() -> None:
    page, text = said(f"`{MARKED}` [{MARKED}](https://a.example/) <a href='https://b.example/'>{MARKED}</a>")

    assert page.links == ["https://a.example/", "https://b.example/"]
    assert text == f"{MARKED} {MARKED} (https://a.example/) {MARKED} (https://b.example/)"


@pytest.mark.parametrize("end", list("-_.,;:!'*~"))
@pytest.mark.parametrize(
    "link",
    ["<{}>", "[here]({})", "[]({})", '<a href="{}">here</a>', "**<{}>**", "_see <{}>_", "|a|b|\n|-|-|\n|<{}>|x|"],
)
def test_no_link_in_the_text_ends_with_what_mail_programs_leave_out(link: str, end: str) -> None:
    address = f"https://example.org/a{end}"
    page, text = said(link.format(address))

    assert page.links == [address]
    [found] = re.findall(r"https://[^\s)]+", text)
    assert found == f"https://example.org/a%{ord(end):02X}"


def test_a_link_without_words_shows_where_it_leads() -> None:
    page, text = said("See [](https://a.example/x) now")

    assert page.links == ["https://a.example/x"]
    assert (page.text, text) == ("See https://a.example/x now",) * 2


def test_between_brackets_a_link_has_none() -> None:
    assert said("[A](https://example.org/a_(b))")[1] == "A (https://example.org/a_%28b%29)"
    assert said("[A](https://example.org/?)")[1] == "A (https://example.org/)"
    assert said("[A](https://example.org.)")[1] == "A (https://example.org./)"


def test_every_link_to_unsubscribe_ends_with_a_slash_in_text_header_and_html() -> None:
    links = Links("https://rollcall.example.org", ["k0123456789abcdef0123456789abcdef"])
    assert links.token(1, 30).endswith("-")

    odd = 0
    for number in range(1, 200):
        octets = compose(mailing(Kind.ANNOUNCEMENT), recipient(number=number), sender()).message
        token = LINKS.token(3, number)
        odd += token[-1] in "-_"
        for kind in ("plain", "html"):
            assert re.findall(rf"{LINKS.base}[^\s)\"]+", part(octets, kind)) == [f"{LINKS.base}{token}/"]
        assert f"List-Unsubscribe: <{LINKS.base}{token}/>".encode() in octets
    assert odd > 0


def test_merge_fields_stay_out_of_pasted_addresses() -> None:
    with pytest.raises(MergeError, match=r"^Line 3: the address of a link cannot hold a merge field"):
        check_announcement("x", "a\n\nhttps://example.org/{{ username }}/x", "Acme")
    page, text = said("https://example.org/x {{ username }} and [x](https://example.org/x){{ username }}")
    assert page.links == ["https://example.org/x", "https://example.org/x"]
    assert text == "https://example.org/x  and x (https://example.org/x)"


@given(st.text(alphabet="ab/_*~-.()\\?=&%", max_size=30).map("https://example.org/".__add__))
@examples(max_examples=60)
def test_whatever_is_pasted_between_blanks_is_said_as_it_was_written(address: str) -> None:
    parts = parse(f"See {address} now")
    html, text = letter(f"See {address} now", parts, Placeholders(parts))

    page = Page(html)
    assert len(page.links) == 1
    shown = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", address)
    assert shown in page.text
    assert unquote(shown).startswith(unquote(str(page.links[0])))
    [linked] = re.findall("<a [^>]*>(.*?)</a>", html)
    said_in_text = in_text(unescape(linked))
    assert said_in_text in text
    assert said_in_text[-1] not in "-_.,;:!?'*~"
