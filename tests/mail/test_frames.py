"""The frames of our mail, compiled from MJML: nothing is left out that is read, or that a mail program needs."""

import re
from html.parser import HTMLParser

import pytest

from email_templates.compiling import FOLDER, frames
from email_templates.minify import minify
from tasks.mail.composing import templates
from tasks.mail.composing.branding import Branding
from tasks.mail.composing.samples import sample
from tasks.mail.rules import Kind

LOGO = "https://cdn.acme.example/logo.png"
VOID = {"br", "hr", "img", "meta"}


class Seen(HTMLParser):
    """The text of a page, and its elements, which must be closed in the order in which they were opened."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.elements: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self.elements.append(tag)
        if tag not in VOID and not tag.startswith("o:"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and not tag.startswith("o:"):
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open and not any(tag.startswith("o:") for tag in self._open):
            self.text += data.split()


def as_outlook(html: str) -> str:
    """The page with what is there for Outlook alone."""
    return re.sub(r"<!--\[if (?:mso|mso \| IE)\]>|<!\[endif\]-->", "", html)


def test_the_frames_are_those_that_are_made_of_the_templates() -> None:
    made = {path.name: path.read_text() for path in FOLDER.iterdir() if path.suffix in {".html", ".txt"}}

    assert made == frames(), "run: make templates"


@pytest.mark.parametrize("logo", [None, LOGO])
@pytest.mark.parametrize("kind", Kind)
def test_what_is_left_out_is_nothing_that_is_read(
    kind: Kind, logo: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    branding = Branding(f"Lean {kind} ; , > & co", logo=logo)
    html = sample(kind, branding, "fr").html
    for made_once in (templates.announcement, templates.notice):
        made_once.cache_clear()
    monkeypatch.setattr(templates, "_frame", frames(small=False).__getitem__)
    whole = sample(kind, branding, "fr").html

    assert len(html) < len(whole) - 1000
    assert Seen(html).text == Seen(whole).text
    assert sorted(set(Seen(whole).elements) - {"tbody"}) == sorted(set(Seen(html).elements))
    assert Seen(as_outlook(html)).elements.count("table") == Seen(html).elements.count("table") + (2 if logo else 1)


def test_every_class_that_is_styled_is_there() -> None:
    html = sample(Kind.ANNOUNCEMENT, Branding("Acme"), "en").html
    sheet = "".join(re.findall(r"<style>(.*?)</style>", html))

    assert {*re.findall(r"\.([a-z]+)[ ,{]", sheet)} <= {*re.findall(r'class="([a-z]+)"', html)}


def test_styles_say_what_they_said() -> None:
    page = (
        '<style type="text/css">\n a { margin: 0px 10px; }\n b , i { top: 0; }</style><p style="top: 10px;">a ; b</p>'
    )

    assert minify(page) == '<style>a{margin:0 10px}b,i{top:0}</style><p style="top:10px">a ; b</p>'
