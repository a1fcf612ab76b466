"""What admins write, as HTML that is safe to send: CommonMark, cleaned, and bounded in the time it takes.

Merge fields sit it out behind stand-ins, so that neither Markdown nor escaping touches them: a value is text, whoever
wrote the words around it.
"""

import re
from collections.abc import Sequence

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from tasks.mail.merge import MergeError, Slot, line_of_slot

#: The longest body, in octets of UTF-8: mailbox providers show about 100 kB of a mail and cut off the rest.
LONGEST_BODY = 256 * 1024
#: The longest paragraph, in characters. What Markdown does between two empty lines can take the square of its length.
LONGEST_PARAGRAPH = 10_000
MOST_LINES = 5_000
#: The longest address of a link, its title included.
LONGEST_ADDRESS = 2_000
_EMPTY_LINE = re.compile(r"\n[ \t]*(?=\n)")
#: How often the parser may look for marks, and how many tags and characters of HTML may come of it, before what is
#: written is no letter but meant to keep us busy. A letter of the greatest length needs two thirds of it.
_LOOKS, _TAGS, _HTML = 50_000, 20_000, 4 * LONGEST_BODY

#: Stands in for a part of what was written, by its index, between two code points that Unicode keeps out of any text.
STAND_IN = re.compile("\ufdd0([0-9]+)\ufdd1")
WITHOUT_MARKS = str.maketrans("", "", "\ufdd0\ufdd1")

#: The elements of a letter; of other HTML the words stay, and nothing of scripts and styles.
_ELEMENTS = frozenset(
    {
        "a",
        "b",
        "blockquote",
        "br",
        "code",
        "del",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "li",
        "ol",
    }
    | {"p", "pre", "s", "strong", "sub", "sup", "u", "ul"}
)
_ATTRIBUTES = {"a": {"href", "title"}, "img": {"src", "alt", "title", "width", "height"}, "ol": {"start"}}
_SCHEMES = {"http", "https", "mailto"}
#: What is HTML if somebody writes it between angle brackets; anything else, `<your name>`, is words.
_KNOWN = nh3.ALLOWED_TAGS | frozenset(
    {
        "applet",
        "audio",
        "base",
        "body",
        "button",
        "canvas",
        "embed",
        "font",
        "form",
        "frame",
        "frameset",
        "head",
        "html",
    }
    | {"iframe", "input", "label", "link", "main", "marquee", "math", "meta", "noscript", "object", "option", "script"}
    | {"section", "select", "source", "style", "svg", "template", "textarea", "title", "video"}
)
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9-]*)(?:[^<>]*)>")


class _Markdown(MarkdownIt):
    """CommonMark whose links lead to the web or to an address, the same for every recipient."""

    def __init__(self) -> None:
        super().__init__("commonmark")
        self.inline.ruler.before("text", "look", _look)
        for html in ("html_inline", "html_block"):
            self.add_render_rule(html, _html)

    def normalizeLink(self, url: str) -> str:  # noqa: N802
        if marked := STAND_IN.search(url):
            raise _FieldInAddress(int(marked[1]))
        return super().normalizeLink(url)

    def validateLink(self, url: str) -> bool:  # noqa: N802
        return url.lower().startswith(("http://", "https://", "mailto:"))


class _FieldInAddress(Exception):
    """The part with this index stands in the address of a link."""


class _TooBusy(Exception):
    """What is written keeps the parser busy beyond any letter."""


def _look(state: StateInline, _silent: bool) -> bool:
    """Not a rule of Markdown: counts how often one is looked for."""
    state.env["looks"] -= 4 if state.src[state.pos] in "<[!" else 1  # an address is to be taken apart
    if state.env["looks"] < 0:
        raise _TooBusy
    return False


def _html(_self: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType) -> str:
    """HTML as it was written; but what only looks like it becomes text."""
    return _TAG.sub(lambda tag: tag[0] if tag[1].lower() in _KNOWN else escapeHtml(tag[0]), tokens[index].content)


_MARKDOWN = _Markdown()


def stood_in(parts: Sequence[str | Slot]) -> str:
    """The text of parts, each slot behind its stand-in."""
    return "".join(part if isinstance(part, str) else f"\ufdd0{number}\ufdd1" for number, part in enumerate(parts))


def letter(text: str, parts: Sequence[str | Slot]) -> str:
    """The HTML of a body that `parse` split into parts, each slot behind its stand-in.

    Raises MergeError, with the line, for what cannot be sent.
    """
    _refuse_length(text)
    source = stood_in(parts)
    fields: list[int] = []

    def allowed(element: str, attribute: str, value: str) -> str | None:
        if attribute in {"href", "src"}:
            if marked := STAND_IN.search(value):
                fields.append(int(marked[1]))
            schemes = ("https://",) if element == "img" else ("http://", "https://", "mailto:")
            return value if value.lower().startswith(schemes) else None
        return value

    html = ""
    try:
        html = nh3.clean(
            _rendered(source),
            tags=set(_ELEMENTS),
            attributes=_ATTRIBUTES,
            attribute_filter=allowed,
            url_schemes=_SCHEMES,
            set_tag_attribute_values={"a": {"target": "_blank"}},
        )
    except _FieldInAddress as problem:
        fields.append(problem.args[0])
    except _TooBusy:
        raise MergeError("The body has too many marks of Markdown, or of HTML, for one letter.") from None
    if fields:
        line = line_of_slot(text, sum(isinstance(part, Slot) for part in parts[: fields[0]]))
        raise MergeError(
            f"Line {line}: the address of a link cannot hold a merge field: put the field in the text of the link."
        )
    return html.strip()


def _rendered(source: str) -> str:
    env: EnvType = {"looks": _LOOKS}
    tokens = _MARKDOWN.parse(source, env)
    _refuse_addresses(tokens)
    html = str(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, env))
    if html.count("<") > _TAGS or len(html) > _HTML:
        raise _TooBusy
    return html


def _refuse_length(text: str) -> None:
    """What a letter may be at most; beyond it, reading Markdown takes seconds."""
    octets, lines = len(text.encode(errors="replace")), text.count("\n") + 1
    if octets > LONGEST_BODY:
        raise MergeError(f"The body has {octets // 1024} kB; at most {LONGEST_BODY // 1024} kB can be sent.")
    if lines > MOST_LINES:
        raise MergeError(f"The body has {lines} lines; at most {MOST_LINES} can be sent.")
    line = 1
    for paragraph in _EMPTY_LINE.split(text):
        ends_empty = paragraph.startswith("\n")  # the line before it
        if (length := len(paragraph) - ends_empty) > LONGEST_PARAGRAPH:
            raise MergeError(
                f"Line {line + ends_empty}: what begins here has {length} characters before the next empty line; at"
                f" most {LONGEST_PARAGRAPH} can be sent. Put an empty line between paragraphs."
            )
        line += paragraph.count("\n") + 1


def _refuse_addresses(tokens: Sequence[Token]) -> None:
    """Pictures are fetched encrypted, or not at all; and an address is no place to hide a megabyte."""
    for token in tokens:
        line = token.map[0] + 1 if token.map else 1
        for child in token.children or ():
            if child.type in {"softbreak", "hardbreak"}:
                line += 1
            if sum(len(str(value)) for value in child.attrs.values()) > LONGEST_ADDRESS:
                raise MergeError(f"Line {line}: an address has more than {LONGEST_ADDRESS} characters.")
            if child.type == "image" and not str(child.attrs["src"]).lower().startswith("https://"):
                raise MergeError(f"Line {line}: the address of a picture has to begin with https://.")
