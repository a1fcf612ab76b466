"""What an author may write, well meant or not, and what must hold of every mail that is made of it."""

import re

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tasks.mail.composing.envelopes import compose
from tasks.mail.composing.markdown import LONGEST_BODY
from tasks.mail.composing.merge import MergeError, MergeField
from tasks.mail.composing.templates import LARGEST_MAIL, check_announcement
from tasks.mail.rules import Kind
from tests.mail.letters import LINKS, mailing, recipient, sender
from tests.mail.test_frames import Seen
from tests.mail.test_look import ADDRESSES, Attributes
from tests.mail.test_markdown import is_clean
from tests.mail.test_message import body, read

#: What no recipient's address may hold: it is in each value of ours.
CANARY = "canary"

FIELDS = st.builds(
    "{{{{ {}{} }}}}".format,
    st.sampled_from(MergeField),
    st.sampled_from(
        [
            "",
            "",
            "",
            ' | default: "there"',
            ' | default: "there"',
            ' | default: "<b>&"',
            ' | default: "https://a.example/?x="',
        ]
    ),
)
REFERENCES = st.builds(
    "&#{};".format, st.integers(0, 0x110000).map(str) | st.sampled_from(["xFDD0", "xFDD1", "xE000", "x202E", "0", "60"])
) | st.sampled_from(
    ["&lt;", "&amp;", "&quot;", "&nbsp;", "&#xFDD0;1&#xFDD1;", "&lbrack;[raw:token]]", "&lcub;{ email }}"]
)
ADDRESSES_WRITTEN = st.builds(
    "{}{}{}".format,
    st.sampled_from(
        [
            "https://a.example/",
            "http://a.example",
            "www.a.example/",
            "https://a.example/b",
            "mailto:a@a.example",
            "javascript:",
            "a@a.example",
        ]
    ),
    st.sampled_from(["", "__x__", "a_b", "*y*", "?q=", "(z)", "[0]", "#f"]),
    st.sampled_from(["", "", "", "", "-", "_", ".", " ", " ", "&#xE000;", "&#xFDD0;1&#xFDD1;", "{{ email }}"]),
)
MARKS = st.sampled_from(
    [
        "*",
        "**",
        "_",
        "~~",
        "`",
        "```\n",
        "# ",
        "> ",
        "- ",
        "1. ",
        "\n",
        "\n\n",
        "  \n",
        "\\",
        "---\n",
        "|",
        "|-|-|\n",
        "[",
        "](",
        ")",
        "![",
        "<",
        ">",
        "    ",
        "[a]: ",
        " ",
    ]
)
TAGS = [
    "p", "a", "b", "i", "img", "table", "tr", "td", "th", "div", "section", "ul", "ol", "li", "br", "hr", "pre", "code",
    "h1", "script", "style", "svg", "textarea", "form", "font", "blockquote", "your", "name",
]  # fmt: skip
ELEMENTS = st.builds(
    "<{}{}{}>".format,
    st.sampled_from(["", "/"]),
    st.sampled_from(TAGS),
    st.builds(
        " {}={}".format,
        st.sampled_from(["href", "src", "title", "onclick", "style", "width", "align", "start", "colspan"]),
        ADDRESSES_WRITTEN | st.sampled_from(["'9'", "'", '"', "x y"]),
    )
    | st.just(""),
)
LINKS_WRITTEN = st.builds(
    "{}[{}]({}{})".format,
    st.sampled_from(["", "!"]),
    st.text(max_size=5) | FIELDS,
    ADDRESSES_WRITTEN,
    st.sampled_from(["", ' "title"', ' "{{ email }}"']),
)
WORDS = st.text(max_size=8) | st.sampled_from(
    ["Dear ", "the course", "学", "\u202e", "\ufdd0", "\0", "[[raw:token]]", "place-of-body", "{", "}"]
)

PIECES = st.one_of(FIELDS, REFERENCES, ADDRESSES_WRITTEN, MARKS, MARKS, ELEMENTS, LINKS_WRITTEN, WORDS)

#: Some pieces, and one of them again and again.
BODIES: SearchStrategy[str] = st.builds(
    lambda before, much, times, after: ("Dear friend, " + "".join(before) + much * times + "".join(after))[
        :LONGEST_BODY
    ],
    st.lists(PIECES, max_size=25),
    PIECES,
    st.sampled_from([0, 0, 0, 1, 3, 30, 250]),
    st.lists(PIECES, max_size=10),
)
SUBJECTS = st.lists(FIELDS | REFERENCES | st.text(max_size=10), min_size=1, max_size=6).map("".join)
#: What recipients are called: text, whatever it looks like.
VALUES = st.sampled_from(
    [
        "",
        "Anna",
        "<script>x</script>",
        '"><img src=x onerror=x>',
        "{{ email }} [[raw:token]]",
        "\u202eannA",
        "a\r\nBcc: x@y.example",
        "x" * 2_000,
        "**b** `c` [d](e)",
    ]
) | st.text(max_size=12)


def holds(subject: str, written: str, value: str) -> bool:
    """Whether what must hold of a draft does, and of the mails that are made of it where it may be sent."""
    try:
        check_announcement(subject, written, "Acme <&>")
    except MergeError as problem:
        return _is_one_line(str(problem))
    what = mailing(Kind.ANNOUNCEMENT, subject=subject, body=written, name="Acme <&>")
    plainly, oddly = (
        compose(what, recipient(first_name=name, last_name=name, address=f"{CANARY}@example.com"), sender()).message
        for name in (CANARY, f"{CANARY}{value}")
    )
    assert len(oddly) < LARGEST_MAIL + 100_000
    pages = [Attributes(body(octets, "html")) for octets in (plainly, oddly)]
    assert _frame(pages[0]) == _frame(pages[1])
    for octets, page in zip((plainly, oddly), pages, strict=True):
        message = read(octets)
        assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
        assert message.keys().count("Bcc") == 0
        html = body(octets, "html")
        Seen(html)
        theirs = html.partition('<div dir="auto" style="text-align:start">')[2].rpartition(
            "</div></div></td></tr><tr>"
        )[0]
        assert is_clean(theirs)
        assert not [address for _, address in page_addresses(page) if CANARY in address]
        text = body(octets, "plain")
        assert text.partition("\n\n-- \n")[0].strip() or CANARY not in written
        for address in re.findall(r"(?:https?://|www\.|mailto:)[^\s<>\")]*", text):
            assert CANARY not in address
            assert not address.startswith(LINKS.base) or address.endswith("/")
    return True


def _is_one_line(refusal: str) -> bool:
    return re.fullmatch(r"[^\n]{10,400}", refusal) is not None


def page_addresses(page: Attributes) -> list[tuple[str, str]]:
    """Each address of a page, by the attribute that holds it."""
    return [(name, value) for _, given in page.found for name, value in given.items() if name in ADDRESSES]


def _frame(page: Attributes) -> list[tuple[str, list[tuple[str, str]]]]:
    """The elements of a page with their attributes, apart from what a mail says to one person."""
    return [
        (tag, [(name, "" if name in {"title", "alt"} else value) for name, value in given.items()])
        for tag, given in page.found
    ]
