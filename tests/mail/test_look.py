"""The look of an organisation's mail: readable on any colour, its own, and fetching nothing that nobody put there."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.mail.composing.branding import READABLE, WHITE, Branding, contrast
from tasks.mail.composing.phrases import LANGUAGES
from tasks.mail.composing.samples import AURORA, sample
from tasks.mail.rules import Kind
from tests.world import World, id_of

LOGO = "https://cdn.acme.example/logo.png?v=1&s=(2)"
COLOUR = "#Fde047"
COLOURS = st.integers(0, 0xFFFFFF).map("#{:06x}".format)
#: Where there is an address that somebody may follow or a mail program fetch.
ADDRESSES = {"href", "src", "srcset", "background", "action", "poster", "data", "cite", "ping"}


class Attributes(HTMLParser):
    """Every element of a page with its attributes, and what its style sheets say."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.styles = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] == "style":
            self.styles += data

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of each element with this tag."""
        return [attributes for name, attributes in self.found if name == tag]

    @property
    def addresses(self) -> set[str]:
        """Every address that somebody may follow or a mail program fetch."""
        given = [(name, value) for _, attributes in self.found for name, value in attributes.items()]
        styles = " ".join([self.styles, *(value for name, value in given if name == "style")])
        assert not re.search(r"url\(|@import|//", styles)
        return {value for name, value in given if name in ADDRESSES}


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#123456", "#123456") == 1
    assert contrast("#777777", WHITE) < READABLE < contrast("#767676", WHITE)


@given(COLOURS)
@example("#767676")
@example("#777777")
@example("#ffff00")
@example("#00ff00")
def test_any_colour_can_be_read(colour: str) -> None:
    look = Branding("Acme", colour=colour)

    assert contrast(look.ink, look.band) >= READABLE
    assert contrast(look.link, WHITE) >= READABLE
    assert look.band == colour


def test_our_own_colours_can_be_read_by_day_and_by_night() -> None:
    html = sample(Kind.ANNOUNCEMENT, Branding("Acme"), "en").html
    day = dict(re.findall(r"<td[^>]*class=\"(prose|footer)\".*?color:(#[0-9a-f]{6})", html, re.DOTALL))
    night = html.partition("prefers-color-scheme:dark")[2].partition("</style>")[0]
    sheet = {selector.strip(): colour for selector, colour in re.findall(r"([^{}]+)\{[a-z]+:(#[0-9a-f]{6})", night)}

    assert contrast(day["prose"], WHITE) >= READABLE
    assert contrast(day["footer"], "#f4f4f5") >= READABLE
    assert contrast(sheet[".prose div"], sheet[".prose"]) >= READABLE
    assert contrast(sheet[".prose a"], sheet[".prose"]) >= READABLE
    assert contrast(sheet[".footer div"], sheet["body,.page"]) >= READABLE


def every_kind(world: World) -> dict[str, Attributes]:
    """A mail of each kind that is sent, by its kind, as the server took it."""
    world.mail.taken.clear()
    world.has_learners("A")
    world.has_learners("U", email=None)
    world.becomes("inactive", "A", "U")
    number = len(world.enrolments("A"))
    world.has_course(f"course{number}", "everyone")
    world.becomes("active", "A", "U")
    world.has_course(f"course{number + 1}", "everyone", cost=1000 - number)
    world.starts("A", f"course{number + 1}")  # a thousand more of the pool is used, about
    world.announces(f"news{number}")
    world.comes_to_rest()
    found = {}
    for _, message in world.mail.taken:
        body = message.get_body(("html",))
        assert body is not None
        found[message["Feedback-ID"].split(":")[2]] = Attributes(body.get_content())
    assert found.keys() == set(Kind)
    return found


def test_logo_and_colour_arrive_in_each_kind_of_mail_and_go_when_they_are_gone(world: World) -> None:
    world.has_organisation(logo=LOGO, colour=COLOUR, reactivation_digest=True)
    for kind, page in every_kind(world).items():
        [logo] = page.all("img")
        assert (kind, logo["src"], logo["alt"]) == (kind, LOGO, "Acme Academy")
        assert any(COLOUR.lower() in given.get("style", "") for _, given in page.found), kind

    world.has_organisation(pool=2000, colour=COLOUR, reactivation_digest=True)
    for kind, page in every_kind(world).items():
        assert (kind, page.all("img")) == (kind, [])
        assert any(f"background:{COLOUR.lower()}" in given.get("style", "") for _, given in page.found), kind

    world.has_organisation(pool=3000, reactivation_digest=True)
    for kind, page in every_kind(world).items():
        assert (kind, page.all("img")) == (kind, [])
        assert not any(COLOUR.lower() in given.get("style", "") for _, given in page.found), kind
    assert world.rows("SELECT logo, colour FROM organisations") == [(None, None)]


def test_without_a_logo_the_name_stands_in_its_place() -> None:
    with_logo = sample(Kind.ENROLMENT, Branding("Acme & <Söhne>", LOGO), "en")
    without = sample(Kind.ENROLMENT, Branding("Acme & <Söhne>"), "en")

    name = "Acme &amp; &lt;Söhne&gt;"
    assert f'alt="{name}"' in with_logo.html
    assert f">{name}</div>" not in with_logo.html
    assert f">{name}</div>" in without.html
    assert with_logo.text == without.text


BAD: list[dict[str, Any]] = [
    {"logo": "http://acme.example/logo.png"},
    {"logo": "javascript:alert(1)"},
    {"logo": "data:image/png;base64,AAAA"},
    {"logo": "//acme.example/logo.png"},
    {"logo": "logo.png"},
    {"logo": ""},
    {"logo": 'https://acme.example/"onerror="alert(1)'},
    {"logo": "https://acme.example/<script>"},
    {"logo": "https://acme.example/a b.png"},
    {"logo": "https://acme.example/logo.png\n"},
    {"logo": "https://acme.example/{{ email }}.png"},
    {"logo": "https://user:secret@acme.example/logo.png"},
    {"logo": "https://user@acme.example/logo.png"},
    {"logo": "https://acme.example\\@evil.example/logo.png"},
    {"logo": "https://localhost/logo.png"},
    {"logo": "https://acme.example/" + "a" * 2000},
    {"colour": "#12"},
    {"colour": "#12345"},
    {"colour": "#1234567"},
    {"colour": "123456"},
    {"colour": "red"},
    {"colour": ""},
    {"colour": "#12345g"},
    {"colour": "#12345\n"},
    {"colour": '#12345"'},
    {"colour": "#１２３４５６"},
]


def test_a_bad_logo_or_colour_is_malformed(empty_world: World) -> None:
    for bad in BAD:
        said = empty_world.say("organisation.saved", name="Acme", licence="seats", **bad)
        entry = empty_world.quarantine()[id_of(said)]
        assert (bad, entry.reason) == (bad, "malformed")
        assert next(iter(bad)) in str(entry.detail), bad
    assert empty_world.ask("SELECT count(*) FROM organisations") == 0
    empty_world.say("organisation.saved", name="Acme", licence="seats", logo=LOGO, colour=COLOUR)
    assert empty_world.rows("SELECT logo, colour FROM organisations") == [(LOGO, COLOUR)]


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("kind", Kind)
def test_no_mail_holds_an_address_that_nobody_put_there(kind: Kind, locale: str) -> None:
    bare = sample(kind, AURORA, locale, "Hello", "Hello.")
    dressed = sample(kind, Branding("Acme", LOGO, COLOUR), locale, "Hello", "[Here](https://a.example/?x=1&y=2)")

    ours = {"https://example.org/unsubscribe"} if kind is Kind.ANNOUNCEMENT else set()
    theirs = {LOGO} | ({"https://a.example/?x=1&y=2"} if kind is Kind.ANNOUNCEMENT else set())
    assert Attributes(bare.html).addresses == ours
    assert Attributes(dressed.html).addresses == ours | theirs
    assert {*re.findall(r"https?://[^\s)]+", bare.text)} == ours
    unseen = re.sub(r'xmlns(:[a-z])?="[^"]*"', "", bare.html)  # what only some programs read, too
    assert {*re.findall(r"https?://[^\s\"')]+", unseen)} == ours
