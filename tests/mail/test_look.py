"""How mail looks and what it says in each language: an organisation's own, readable, and nothing that was not meant."""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.mail.look import READABLE, WHITE, Look, contrast
from tasks.mail.markdown import LONGEST_BODY
from tasks.mail.merge import MergeError
from tasks.mail.phrases import LANGUAGES, Language, Notice, spoken
from tasks.mail.plain import plain
from tasks.mail.rules import Kind
from tasks.mail.samples import sample
from tasks.mail.templates import announcement
from tests.mail.test_merge import ACME, received
from tests.world import World

COLOURS = st.integers(0, 0xFFFFFF).map("#{:06x}".format)

#: What may stand in a phrase: a merge field, or a figure.
PLACE = re.compile(r"\{\{[^}]*\}\}|\{[a-z]+\}")


def phrases(language: Language) -> Iterator[tuple[str, str]]:
    """All that is said in a language, by its name."""
    for field in fields(Language):
        said = getattr(language, field.name)
        if isinstance(said, Notice):
            yield from ((f"{field.name}.{part.name}", getattr(said, part.name)) for part in fields(Notice))
        elif field.name not in {"code", "direction", "thousands"}:
            yield field.name, said


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_language_says_all_of_what_english_says(code: str) -> None:
    theirs = dict(phrases(LANGUAGES[code]))
    for name, english in phrases(LANGUAGES["en"]):
        assert theirs[name].strip(), name
        names = [re.sub(r'\|.*"', "", place) for place in sorted(PLACE.findall(theirs[name]))]
        assert names == [re.sub(r'\|.*"', "", place) for place in sorted(PLACE.findall(english))], name


@pytest.mark.parametrize(
    ("locale", "code"), [("nl-BE", "nl"), ("fr_FR", "fr"), ("FR", "fr"), ("pt", "en"), ("", "en"), ("-", "en")]
)
def test_whoever_speaks_none_of_our_languages_is_spoken_to_in_english(locale: str, code: str) -> None:
    assert spoken(locale).code == code


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("kind", Kind)
def test_each_kind_of_mail_is_made_in_each_language(kind: Kind, code: str) -> None:
    seen = sample(kind, Look("Acme & Söhne", "https://acme.example/logo.png", "#ffee00"), code)

    assert not re.search(r"\{\{|\[\[|place-of|\ufdd0", seen.subject + seen.html + seen.text)
    assert f'lang="{code}"' in seen.html
    assert "https://acme.example/logo.png" in seen.html
    assert "Acme & Söhne" in seen.text
    addresses = set(re.findall(r"""(?:src|href)="([^"]*)"|url\(([^)]*)\)""", seen.html))
    meant = {"https://acme.example/logo.png", "https://example.org/calendar", "https://example.org/unsubscribe"}
    assert {one or other for one, other in addresses} <= meant


def test_an_announcement_has_its_footer_in_the_recipients_language_and_its_body_in_the_admins() -> None:
    dutch, english = (announcement("Hi", "Good *news*.", ACME, locale) for locale in ("nl", "en"))
    for _, html, text in (dutch, english):
        assert "news" in html
        assert text.startswith("Good _news_.")
    assert LANGUAGES["nl"].learner_footer.split("{{")[0] in dutch[2]
    assert LANGUAGES["en"].learner_footer.split("{{")[0] in english[2]


@given(COLOURS)
def test_what_stands_on_any_colour_can_be_read(colour: str) -> None:
    look = Look("Acme", colour=colour)
    assert contrast(look.ink, look.band) >= READABLE
    assert contrast(look.link, WHITE) >= READABLE


def test_an_organisations_logo_and_colour_are_in_its_mail_until_it_takes_them_back(world: World) -> None:
    world.has_organisation(logo="https://acme.example/logo.png", colour="#0F766E")
    world.has_learners("A")
    world.announces("one")
    world.has_course("safety", "everyone")
    world.comes_to_rest()
    world.has_organisation()
    world.announces("two")
    world.comes_to_rest()

    pages = [message.get_body(("html",)).get_content() for message in world.mail.to("a@acme.example")]  # type: ignore[union-attr]
    assert [("logo.png" in page, "#0f766e" in page) for page in pages] == [(True, True), (True, True), (False, False)]
    assert "Acme Academy" in pages[2]


@pytest.mark.parametrize(
    "data",
    [
        {"logo": "http://acme.example/logo.png"},
        {"logo": "javascript:alert(1)"},
        {"logo": 'https://acme.example/"><script>'},
        {"logo": "https://user:secret@acme.example/logo.png"},
        {"colour": "#12"},
        {"colour": "red"},
        {"colour": "#0f766e;background:url(x)"},
    ],
)
def test_a_logo_or_colour_that_is_none_is_malformed(empty_world: World, data: dict[str, Any]) -> None:
    empty_world.has_organisation(**data)
    (held,) = empty_world.quarantine().values()
    assert held.reason.startswith("malformed")
    assert empty_world.ask("SELECT count(*) FROM organisations") == 0


@pytest.mark.parametrize(
    "written",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<p onclick='x()' style='position:fixed'>hi</p>",
        "<iframe src='https://evil.example'></iframe>",
        "<form action='https://evil.example'><input name=password></form>",
        "<style>*{display:none}</style>",
        "<link rel=stylesheet href='https://evil.example/x.css'>",
        "<a href='javascript:alert(1)'>x</a>",
        "<a href='data:text/html,x'>x</a>",
        "<svg><script>alert(1)</script></svg>",
        "<img src='http://evil.example/pixel.gif'>",
        "<object data='https://evil.example'></object>",
    ],
)
def test_html_that_does_no_good_is_not_sent(written: str) -> None:
    _, page, _ = received(announcement("x", f"Before\n\n{written}\n\nafter", ACME), {})
    _, clean, _ = received(announcement("x", "Before\n\nafter", ACME), {})
    assert set(page.tags) - set(clean.tags) <= {"a", "img", "p"}
    assert page.links == clean.links
    markup = announcement("x", written, ACME)[1]
    assert not re.search(r"onerror|onclick|javascript:|position:fixed|display:none", markup)


def test_what_belongs_into_a_letter_stays() -> None:
    body = (
        "# Title\n\nA [link](https://a.example), *soft* and **loud**.\n\n- one\n- two\n\n> said\n\n`code`\n\n"
        "![alt](https://a.example/p.png)"
    )
    _, page, text = received(announcement("x", body, ACME), {})
    assert {"h1", "a", "em", "strong", "ul", "li", "blockquote", "code", "img"} <= set(page.tags)
    assert set(page.links) == {"https://a.example", "https://a.example/p.png"}
    assert text.startswith("Title\n\nA link (https://a.example), _soft_ and *loud*.\n\n- one\n- two\n\n> said\n")
    assert "\n-- \nYou receive this" in text


@pytest.mark.parametrize("piece", ["[", "![", "*a", "_a_", "`", "<a ", "> ", "- ", "[a](b", "\\", "&lt", "a\n", "{{"])
@pytest.mark.parametrize("size", [9_000, LONGEST_BODY - 10])
def test_nobody_can_keep_us_busy_with_a_letter(piece: str, size: int) -> None:
    begun = time.process_time()
    with suppress(MergeError):
        announcement("x", piece * (size // len(piece)), ACME)
    assert time.process_time() - begun < 2


def test_a_body_that_is_too_long_says_so_and_a_long_paragraph_says_where() -> None:
    with pytest.raises(MergeError, match=f"at most {LONGEST_BODY // 1024} kB"):
        announcement("x", "a\n\n" * LONGEST_BODY, ACME)
    with pytest.raises(MergeError, match=r"^Line 3: "):
        announcement("x", "a\n\n" + "b" * 20_000, ACME)


@given(st.text(alphabet="<>/abpulolidv \n&;=\"'-!", max_size=60))
def test_the_text_twin_is_made_of_anything(html: str) -> None:
    assert isinstance(plain(html), str)
