"""What admins write: Markdown and HTML come out clean, code stays text, and nothing hostile keeps us busy."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.mail.composing.branding import Branding
from tasks.mail.composing.markdown import LONGEST_BODY
from tasks.mail.composing.merge import MergeError
from tasks.mail.composing.templates import announcement, check_announcement
from tests.mail.test_look import Attributes
from tests.mail.test_merge import ACME, ANNA, received

#: What an element of a letter may have; `rel` and `target` are put there by the cleaning.
MAY_HAVE = {
    "a": {"href", "title", "rel", "target"},
    "img": {"src", "alt", "title", "width", "height"},
    "ol": {"start"},
    "td": {"align", "colspan", "rowspan", "valign"},
    "th": {"align", "colspan", "rowspan", "valign"},
}
TABLES = {"caption", "table", "tbody", "td", "tfoot", "th", "thead", "tr"}
LETTERS = TABLES | {
    "a", "b", "blockquote", "br", "code", "del", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img",
    "li", "ol", "p", "pre", "s", "strong", "sub", "sup", "u", "ul",
}  # fmt: skip


def body(markdown: str) -> str:
    """The HTML of a body, without the page around it."""
    html = announcement("x", markdown, ACME)[1]
    return html.partition('<div dir="auto" style="text-align:start">')[2].rpartition("</div></div></td></tr><tr>")[0]


def is_clean(html: str) -> bool:
    """Whether there is nothing but the elements of a letter, with links and pictures that may be there."""
    found = Attributes(html).found
    return (
        {tag for tag, _ in found} <= LETTERS
        and all(given.keys() <= MAY_HAVE.get(tag, set()) for tag, given in found)
        and all(
            given.get("href", "http://").lower().startswith(("http://", "https://", "mailto:")) for _, given in found
        )
        and all(given.get("src", "https://").lower().startswith("https://") for _, given in found)
        and "<!" not in html
    )


#: Why a body may be refused in which nothing is left, or which leads to where no mail should.
REFUSALS = (
    r"Nothing of the body can be read as text: ",
    r"Line [0-9]+: the picture says nothing: ",
    r"Line [0-9]+: a link cannot lead to ",
    r"(Line [0-9]+: the address of a picture|The body has a picture whose address)",
)


@pytest.mark.parametrize(
    "dirty",
    [
        "<script>alert('gone')</script>",
        "<SCRIPT SRC=//evil.example/gone.js></SCRIPT>",
        "<scr<script>gone</script>ipt>alert(1)</script>",
        "<style>body{background:url(https://evil.example/gone)}</style>",
        "<p onclick='gone()' onmouseover=gone() style='background:url(//evil.example/gone)' class=gone id=gone>x",
        "<img src=https://a.example/x.png onerror=gone() srcset='//evil.example/gone 2x' style=gone loading=gone>",
        "<img src='x' onerror='gone()'>",
        "<img src=http://evil.example/gone.gif width=1 height=1>",
        "<img src='data:image/svg+xml,gone'>",
        "<img src=//evil.example/gone.gif>",
        "<form action=https://evil.example/gone><input name=gone value=gone><button formaction=gone>x</button></form>",
        "<p title=gone lang=gone><b title=gone>x</b></p>",
        "<iframe src=https://evil.example/gone></iframe>",
        "<iframe srcdoc='<script>gone</script>'></iframe>",
        "<object data=https://evil.example/gone></object><embed src=https://evil.example/gone>",
        "<link rel=stylesheet href=https://evil.example/gone><meta http-equiv=refresh content='0;url=//gone.example'>",
        "<base href=https://evil.example/gone>",
        "<a href='javascript:gone()'>x</a>",
        "<a href=' jav&#x09;ascript:gone()'>x</a>",
        "<a href='&#106;avascript:gone()'>x</a>",
        "<a href='JaVaScRiPt:gone()'>x</a>",
        "<a href='data:text/html,gone'>x</a>",
        "<a href='vbscript:gone'>x</a>",
        "<a href='/gone'>x</a> <a href='gone.html'>x</a> <a href='//evil.example/gone'>x</a> <a href='#gone'>x</a>",
        "<a href=https://a.example ping=https://evil.example/gone target=gone rel=gone download=gone>x</a>",
        "<table background=https://evil.example/gone><tr><td background=https://evil.example/gone>x</td></tr></table>",
        "<body background=https://evil.example/gone>x",
        "<video poster=https://evil.example/gone src=https://evil.example/gone></video><audio src=gone></audio>",
        "<svg onload=gone()><style>gone</style><script>gone</script></svg>",
        "<math><mtext><style><img src=gone onerror=gone()></style></mtext></math>",
        "<noscript><p title='</noscript><img src=x onerror=gone()>'></noscript>",
        "<!-- gone --><![CDATA[gone]]>",
        "<!--[if mso]><img src=https://evil.example/gone><![endif]-->",
        "<div><!-- \n\n--><script>\n\ngone\n\n</script></div>",
        "x\n\n[ref]: javascript:gone 'gone'",
    ],
)
def test_what_a_letter_does_not_need_is_gone(dirty: str) -> None:
    for markdown in (dirty, f"Words {dirty} words", f"- {dirty}\n"):
        refusal = refused(markdown)
        assert not refusal or re.match("|".join(REFUSALS), refusal), refusal
        html = "" if refusal else body(markdown)
        assert is_clean(html), html
        tags = "".join(re.findall("<[^>]*>", html))
        assert "gone" not in tags


@pytest.mark.parametrize(
    ("link", "address"),
    [
        ("[x](javascript:a)", "javascript:a"),
        ("[x](data:a)", "data:a"),
        ("[x](/a)", "/a"),
        ("[x](a.html)", "a.html"),
        ("[x](//a.example)", "//a.example"),
        ("[x](#a)", "#a"),
        ("[x](tel:+31205550100)", "tel:+31205550100"),
        ("[x]()", ""),
        ("[x][r]\n\n[r]: vbscript:a", "vbscript:a"),
        ("<tel:+31205550100>", "tel:+31205550100"),
        ("<a href='/a'>x</a>", "/a"),
        ("<a class=x href=#a>x</a>", "#a"),
        ('<A HREF="&#106;avascript:a">x</A>', "javascript:a"),
    ],
)
def test_a_link_to_anywhere_else_is_refused_with_its_line(link: str, address: str) -> None:
    for line, markdown in ((1, link), (4, f"Hello\n\na\nb {link}"), (3, f"- a\n- b\n- {link}")):
        with pytest.raises(MergeError) as caught:
            check_announcement("x", markdown, "Acme")
        assert str(caught.value).startswith(f"Line {line}: a link cannot lead to {address!r}: ")


@pytest.mark.parametrize(
    "picture",
    ["![x](data:image/png;base64,AAAA)", "![x](/a.png)", "![x](cid:1)", "<img alt=x src='data:image/png;base64,AAAA'>"],
)
def test_a_picture_from_anywhere_else_is_refused_with_its_line(picture: str) -> None:
    with pytest.raises(MergeError, match=r"^Line 3: the address of a picture has to begin with https://\.$"):
        check_announcement("x", f"a\n\n{picture}", "Acme")


def test_a_picture_that_would_be_fetched_unencrypted_is_refused_with_its_line() -> None:
    for line, markdown in ((1, "![x](http://a.example/x.png)"), (4, "Hello\n\na\nb ![x](http://a.example/x.png)")):
        with pytest.raises(MergeError, match=rf"^Line {line}: the address of a picture has to begin with https://\.$"):
            check_announcement("x", markdown, "Acme")


@pytest.mark.parametrize(
    "html",
    [
        "<div>one</div><div>two</div>",
        "<section>one</section><footer>two</footer>",
        "<dl><dt>one<dd>two</dl>",
        "<center>one</center>two",
        "<select><option>one<option>two</select>",
        "<table><tr><td>one</td><td>two</td></tr></table>",
        "|one|two|\n|-|-|",
        "one<br>two",
        "one\ntwo",
    ],
)
def test_words_that_stand_apart_do_not_run_together(html: str) -> None:
    assert "onetwo" not in re.sub("</?(?:td|th|br|div)[^>]*>", " ", body(html))
    assert "onetwo" not in announcement("x", html, ACME)[2]
    assert "one" in announcement("x", html, ACME)[2]


def test_tables_and_strikethrough_are_taken_as_they_are_meant() -> None:
    table = Attributes(body("| a | b |\n|:--|--:|\n| ~~1~~ | 2 |"))

    assert [given.get("align") for given in table.all("th")] == ["left", "right"]
    assert [tag for tag, _ in table.found].count("s") == 1
    assert announcement("x", "| a | b |\n|:--|--:|\n| ~~1~~ | |", ACME)[2].startswith("a | b\n~1~ |\n")


@pytest.mark.parametrize(
    ("marks", "meant"),
    [
        ("a ** b ** c", "Line 3: ** b ** is not bold as it stands"),
        ("**重要。**请看", "Line 3: **重要。** is not bold as it stands"),
        ("x\n~~ y ~~", "Line 4: ~~ y ~~ is not struck out as it stands"),
        ("[see](note below)", "Line 3: [see](note below) is not a link as it stands"),
        ("** {{ email }} **", "Line 3: ** {{ email }} ** is not bold as it stands"),
        ("> " * 20 + "x", "Line 3: this is nested too deep"),
    ],
)
def test_marks_that_would_be_mailed_as_they_stand_are_refused_with_their_line(marks: str, meant: str) -> None:
    with pytest.raises(MergeError) as caught:
        check_announcement("x", f"a\n\n{marks}", "Acme")
    assert str(caught.value).startswith(meant)


@pytest.mark.parametrize("meant", [r"a \*\* b \*\* c", "`** x **`", "2**10", "a ~ b ~ c", "[1] and [2][3]", "pw: ****"])
def test_marks_that_are_meant_are_shown(meant: str) -> None:
    shown = announcement("x", meant, ACME)[2].partition("\n\n-- \n")[0]
    assert shown.replace("\u2060", "") == meant.replace("\\", "").replace("`", "")


def test_the_elements_of_a_letter_stay() -> None:
    alone = {"br": "<br>", "hr": "<hr>", "img": "<img src=https://a.example/x.png>"}
    written = "".join(alone.get(tag, f"<{tag}>x</{tag}>") for tag in sorted(LETTERS - TABLES))
    table = "<table><caption>x<thead><tr><th>x<tbody><tr><td>x<tfoot><tr><td>x</table>"
    html = body(f"<p>\n{written}\n{table}")

    assert {tag for tag, _ in Attributes(html).found} == LETTERS
    [picture] = Attributes(body("![The *hall*](https://a.example/x.png 'Hall')")).all("img")
    assert picture == {"src": "https://a.example/x.png", "alt": "The hall", "title": "Hall"}
    [link] = Attributes(body("[x](https://a.example/?a=1&b=2)")).all("a")
    assert link["href"] == "https://a.example/?a=1&b=2"
    assert set(link["rel"].split()) == {"noopener", "noreferrer"}


#: What HTML and Markdown are made of, to be put together in any order.
PIECES = [
    "<", ">", "</", "<a href=", "<img src=", "<p ", "javascript:", "http://a.example", "https://a.example", "'", '"',
    "<script>", "</script>", "<style>", "<svg>", "<math>", "<!--", "-->", "\n\n", "`", "[", "](", "![", ")",
    " onerror=", "<textarea>", "<noscript>", "<title>", "&lt;", "&#60;", "<mj-raw>", "\0",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=14))
def test_whatever_is_written_comes_out_clean(pieces: list[str]) -> None:
    try:
        html = body("".join(pieces))
    except MergeError:
        return
    assert is_clean(html), html


PAYLOADS = [
    "{% for x in ().__class__.__mro__ %}{{% endfor %}",
    "{% include '/etc/passwd' %} {# gone #} {%- raw -%}",
    "${7*7} #{7*7} <%= 7*7 %> @(7*7) {7*7} {{{7*7}}",
    "[[raw:unsubscribe_url]] [[raw:token]] [[raw:courses_html]]",
    "[[[raw:token]]] [[raw:[[raw:token]]]]",
    "place-of-body place-of-logo place-of-organisation place-of-nothing",
    "\ue000token\ue001 \uf8ff",
    "<mj-raw>x</mj-raw> <mj-include path='/etc/passwd' />",
    "</mj-text></mj-column></mj-section></mj-body></mjml>",
    "<mj-style>*{color:red}</mj-style><mj-image src='//evil.example/x.png' />",
    "%s %(username)s %{username} \\1 \\g<0>",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_code_of_any_kind_stays_text(payload: str) -> None:
    typed = re.sub(r"([{}])\1+", r"\1", payload)  # double braces are merge fields: refused, below
    written = (
        typed.replace("\\", "\\\\").replace("<", "\\<").replace("[", "\\[").replace("*", "\\*").replace("_", "\\_")
    )
    values = {**ANNA, "token": "SECRET", "unsubscribe_url": "SECRET", "courses_html": "SECRET"}

    subject, page, text = received(announcement(typed, written, ACME), values)
    bare, _, _ = received(announcement("x", "x", ACME), values)
    assert (typed, bare) == (subject.replace("\u2060", ""), "x")
    assert typed in page.text
    assert text.replace("\u2060", "").startswith(typed)
    assert page.links == []
    assert page.tags == received(announcement("x", "x", ACME), values)[1].tags

    _, page, text = received(announcement("x", "x", Branding(payload)), values)  # the name of an organisation, too
    assert page.words.count(payload) >= 1
    assert payload in text.replace("\u2060", "")
    assert "SECRET" not in page.text + text
    assert page.tags == received(announcement("x", "x", ACME), values)[1].tags


@pytest.mark.parametrize(
    "payload", ["{{ 7*7 }}", "{{ self.__init__ }}", "{{{ email }}}", "{{ {{ email }} }}", "{{ body }}"]
)
def test_double_braces_are_merge_fields_or_refused(payload: str) -> None:
    for subject, written, where in (("x", f"a\n\n{payload}", "Line 3"), (payload, "x", "Subject")):
        with pytest.raises(MergeError, match=f"^{where}: "):
            check_announcement(subject, written, "Acme")


#: What makes parsers slow when there is much of it.
HOSTILE = {
    "brackets": "[", "pictures": "![", "links": "[a](", "titles": '[a]("', "references": "[a]: b\n", "ends": "](",
    "quotes": "> ", "lists": "- ", "headings": "# ", "emphasis": "*a ", "strong": "**a", "both": "*_", "ticks": "`a",
    "elements": "<b>", "lists in html": "<ul><li>", "angles": "<", "open tags": "<a ", "open values": '<p title="',
    "comments": "<!--", "sections": "<![CDATA[", "instructions": "<?", "entities": "&#123;", "addresses": "<https://e.x>",
    "escapes": "\\", "nulls": "\0", "blanks": " ", "lines": "\n", "paragraphs": "a\n\n", "fields": "{{ email }}",
    "braces": "{{", "words": "a ", "tables": "|a|b|\n|-|-|\n", "columns": "|", "cells": "|a|b|\n|-|-|\n|c|d|\n|||\n",
    "pasted": "https://e.x/(", "hosts": "a.b.", "mailboxes": "a@b.", "struck": "~~a", "rows": "<table><tr><td>",
    "reopened": "<b x1><i><p>", "escaped": "https://a.b/\\_", "square": "https://a.b/[", "nested": "[![a](",
}  # fmt: skip


def refused(markdown: str) -> str:
    """Why a body is refused; nothing if it is taken."""
    try:
        check_announcement("x", markdown, "Acme")
    except MergeError as problem:
        return str(problem)
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("much", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bodies_are_refused_or_compiled_within_two_seconds(much: str) -> None:
    """Once as one piece, once in paragraphs that are as long as they may be."""
    paragraph = (much * 9_900)[:9_900]
    for hostile in ((much * LONGEST_BODY)[:LONGEST_BODY], "\n\n".join([paragraph] * (LONGEST_BODY // 9_902))):
        began = time.process_time()
        refusal = refused(hostile)
        assert time.process_time() - began < 2
        assert refusal == "" or re.fullmatch("(Line [0-9]+: |The body has |The mail |Nothing of)[^\n]{1,300}", refusal)


@pytest.mark.parametrize(
    ("written", "refusal"),
    [
        (
            "a\n\nb\n" + "c" * 10_001,
            "Line 3: what begins here has 10003 characters before the next empty line; at most 10000",
        ),
        ("é" * LONGEST_BODY, "The body has 512 kB; at most 256 kB can be sent."),
        ("\n" * 4_999 + "x", None),
        ("\n" * 5_000 + "x", "The body has 5001 lines; at most 5000 can be sent."),
        ("a\n\n[x](https://a.example/" + "x" * 2_000 + ")", "Line 3: an address has more than 2000 characters."),
        ("a\n\nb\n[x](https://a.example/{{ email }})", "Line 4: the address of a link cannot hold a merge field"),
        (
            "a\n\n<a href='https://a.example/{{ email }}'>x</a>",
            "Line 3: the address of a link cannot hold a merge field",
        ),
        ("a\n\n\n{{ nobody }}", "Line 4: {{ nobody }} is not a merge field"),
        ("a\r\n\r\n{{ nobody }}", "Line 3: {{ nobody }} is not a merge field"),
        ("\n\n".join(["*a " * 3_000] * 20), "The body has too many marks of Markdown, or of HTML, for one letter."),
    ],
)
def test_a_refusal_is_one_line_that_says_what_and_where(written: str, refusal: str | None) -> None:
    if refusal is None:
        check_announcement("x", written, "Acme")
        return
    with pytest.raises(MergeError) as caught:
        check_announcement("x", written, "Acme")
    assert str(caught.value).startswith(refusal)
    assert "\n" not in str(caught.value)
