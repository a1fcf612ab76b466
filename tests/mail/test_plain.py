"""The plain-text twin: it says what the HTML says, as one would type it, whatever it is given."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.mail.composing.branding import Branding
from tasks.mail.composing.plain import plain
from tasks.mail.composing.templates import announcement
from tests.mail.test_merge import ANNA, received

BODY = """\
# Open again

Hello {{ first_name }},\\
the **workshop** is *open*: see [the calendar](https://example.org/calendar), <https://example.org/>
or [write](mailto:team@example.org).

3. Bring your badge.
4. Two machines ask for a course:
   - the lathe,
   - the laser cutter.

> Glasses are at the entrance.
>
> > Put them back.

```
if a  <  b:
    stop
```

---

![The hall](https://example.org/hall.png) H<sub>2</sub>O &amp; caf&eacute;
"""

TEXT = """\
Open again

Hello Anna,
the *workshop* is _open_: see the calendar (https://example.org/calendar), https://example.org/
or write (team@example.org).

3. Bring your badge.
4. Two machines ask for a course:
   - the lathe,
   - the laser cutter.

> Glasses are at the entrance.
>
> > Put them back.

    if a  <  b:
        stop

* * *

The hall H2O & café

--\x20
You receive this as a learner of Acme.
Unsubscribe from announcements (https://example.org/u)"""

#: Text, and tags of every kind, open, closed and broken, in any order.
PIECES = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["p", "ul", "ol", "li", "blockquote", "pre", "a", "strong", "em", "br", "hr", "img", "mj-head", "x"]
    ).flatmap(
        lambda tag: st.sampled_from([f"<{tag}>", f"</{tag}>", f"<{tag}/>", f"<{tag} href='x' css-class=eye", "<"])
    ),
    st.sampled_from(
        ["<ol start=x>", "<ol start='\u0663'>", "<ol start=99999999999>", "<!--", "-->", "<![CDATA[", "&#0;"]
    ),
)


def test_the_text_says_what_the_html_says() -> None:
    letter = announcement("x", BODY, Branding("Acme"), unsubscribe_link=True)
    _, page, text = received(letter, {**ANNA, "unsubscribe_url": "https://example.org/u"})

    assert text == TEXT
    for word in re.findall(r"\w{3,}", " ".join(page.words)):
        assert word in text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("<a href='https://a.example'>https://a.example</a>", "https://a.example"),
        ("<a href='mailto:a@b.example'>a@b.example</a>", "a@b.example"),
        ("<a href='https://a.example'></a>", "https://a.example"),
        ("<a>nowhere</a>", "nowhere"),
        ("<ol start='9'><li>a</li><li>b</li></ol>", "9. a\n10. b"),
        ("<p>a</p><p css-class='eye'>unseen<br>too</p><p>b</p>", "a\n\nb"),
        ("<p>a</p><mj-text css-class='footer'>b</mj-text>", "a\n\n-- \nb"),
        ("<script>x</script><style>y</style><title>z</title>said", "said"),
        ("<p>a\n  b<br>c &lt;b&gt; </p>", "a b\nc <b>"),
        ("<s>a</s> <del>b</del> <b></b>c", "~a~ ~b~ c"),
        ("<table><tr><th>a</th><th>b</th></tr><tr><td></td><td>c</td></tr></table>d", "a | b\n| c\n\nd"),
        ("<table><tr><td><p>a</p><p>b</p></td><td>c</td><td>d</td></tr></table>", "a\n\nb\n\nc | d"),
        ("<a href='https://a.example/x-'>x</a>", "x (https://a.example/x%2D)"),
        ("<a href='https://a.example/x_'>https://a.example/x_</a>", "https://a.example/x%5F"),
        ("<a href='https://a.example/(x)'>x</a>", "x (https://a.example/%28x%29)"),
        ("<a href='https://a.example/x?'></a>", "https://a.example/x"),
        ("<a href='https://a.example.'></a>", "https://a.example./"),
        ("<em>see <a href='https://a.example/'>https://a.example/</a></em>", "see https://a.example/"),
        ("<em>see <a href='https://a.example/'>us</a></em>", "_see us (https://a.example/)_"),
        ("<a href='mailto:a@b.example?subject=Hi'>write</a>", "write (a@b.example)"),
        ("<a href='mailto:a@b.example'>mailto:a@b.example</a>", "a@b.example"),
    ],
)
def test_elements_become_what_one_would_type(html: str, text: str) -> None:
    assert plain(html) == text


@pytest.mark.parametrize(("tag", "mark"), [("blockquote", "> "), ("ul><li", "- ")])
def test_deep_nesting_stays_text_of_bounded_width(tag: str, mark: str) -> None:
    text = plain(f"<{tag}>" * 5_000 + "deep")

    assert text.endswith("deep")
    assert len(text) < 100
    assert text.count(mark.strip()) <= 12


@given(st.text())
def test_text_without_tags_is_said_and_nothing_else(said: str) -> None:
    said = said.translate(dict.fromkeys(map(ord, "<>&")))

    assert "".join(plain(f"<p>{said}</p>").split()) == "".join(said.split())
    assert not re.search("[<>]", plain(said))


@given(st.lists(PIECES, max_size=30))
def test_whatever_is_given_is_read(pieces: list[str]) -> None:
    text = plain("".join(pieces))

    assert text == text.strip("\n")
