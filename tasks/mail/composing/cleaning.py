"""HTML as a letter may hold it: the elements and attributes of a fixed list, and addresses that lead to the web."""

import re
from collections.abc import Callable, Iterator
from html import unescape

import nh3
from markdown_it.common.utils import escapeHtml

from tasks.mail.composing.merge import MergeError

#: The elements of a letter; of other HTML the words stay, and nothing of scripts and styles.
ELEMENTS = frozenset({
    "a", "b", "blockquote", "br", "caption", "code", "del", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i",
    "img", "li", "ol", "p", "pre", "s", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr",
    "u", "ul",
})  # fmt: skip
_CELL = {"align", "colspan", "rowspan", "valign"}
#: Their attributes; without "*", all could have `lang` and `title`.
ATTRIBUTES = {
    "*": set[str](),
    "a": {"href", "title"},
    "img": {"src", "alt", "title", "width", "height"},
    "ol": {"start"},
    "td": _CELL,
    "th": _CELL,
}
#: What the values of attributes must be, where not any text will do.
_VALUES = {
    "align": "left|right|center",
    "valign": "top|middle|bottom|baseline",
    **dict.fromkeys(("colspan", "rowspan"), "[1-9][0-9]?"),
    **dict.fromkeys(("width", "height"), "[0-9]{1,4}%?"),
    "start": "[0-9]{1,9}",
}
_SCHEMES = {"http", "https", "mailto"}
#: Elements that stand on lines of their own. They become plain blocks, or the words in them would run together.
_BLOCKS = frozenset({
    "address", "article", "aside", "center", "dd", "details", "dl", "dt", "fieldset", "figcaption", "figure", "footer",
    "form", "header", "hgroup", "legend", "main", "nav", "option", "section", "select", "summary",
})  # fmt: skip
#: What is HTML if somebody writes it between angle brackets; anything else, `<your name>`, is words.
_KNOWN = nh3.ALLOWED_TAGS | ELEMENTS | _BLOCKS | frozenset({
    "applet", "audio", "base", "body", "button", "canvas", "embed", "font", "frame", "frameset", "head", "html",
    "iframe", "input", "label", "link", "marquee", "math", "meta", "noscript", "object", "script",
    "source", "style", "svg", "template", "textarea", "title", "video",
})  # fmt: skip
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9-]*+)([^<>]*+)>")
#: Elements that HTML opens again in every paragraph after the one in which they were not closed, up to three that are
#: alike. With attributes, any number would be different.
_REOPENED = re.compile(r"<(b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)(?=[\s/])[^>]*>?", re.IGNORECASE)
_LINKED = re.compile(r"<(a|img)\b([^>]*)", re.IGNORECASE)
_LINK = re.compile(r"""\b(?:href|src)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_WITHOUT_SOURCE = re.compile("<img(?![^<>]* src=)")  # of cleaned HTML: neither stands in an attribute


def as_typed(html: str) -> str:
    """HTML as it was typed; but what only looks like it becomes text, and every block one that a letter has."""

    def tag(found: re.Match[str]) -> str:
        closes, name, rest = found.groups()
        if name.lower() in _BLOCKS:
            return f"<{closes}div{rest}>"
        return found[0] if name.lower() in _KNOWN else escapeHtml(found[0])

    return _TAG.sub(tag, html)


def clean(html: str, check_address: Callable[[str], None]) -> str:
    """The HTML with nothing in it that a letter does not have. What `check_address` raises of an address is raised.

    Raises `MergeError` for a picture without an address.
    """
    problems: list[BaseException] = []

    def allowed(element: str, attribute: str, value: str) -> str | None:
        # nh3 swallows what is raised here; whether the attribute then stays is up to its version.
        try:
            return _allowed(element, attribute, value, check_address)
        except BaseException as problem:  # noqa: BLE001
            problems.append(problem)
            return None

    cleaned = nh3.clean(
        _REOPENED.sub(lambda tag: f"<{tag[1]}>" if tag[1].lower() in ELEMENTS else "", html),
        tags=set(ELEMENTS),
        attributes=ATTRIBUTES,
        attribute_filter=allowed,
        url_schemes=_SCHEMES,
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
    if problems:
        raise problems[0]
    if _WITHOUT_SOURCE.search(cleaned):
        raise MergeError("The body has a picture whose address does not begin with https://.")
    return cleaned.strip()


def _allowed(element: str, attribute: str, value: str, check_address: Callable[[str], None]) -> str | None:
    """The value of an attribute where it may stay."""
    if attribute in {"href", "src"}:
        check_address(value)
        return value if leads(value, element) else None
    pattern = _VALUES.get(attribute)
    return value if pattern is None or re.fullmatch(pattern, value) else None


def leads(address: str, element: str) -> bool:
    """Whether a letter may hold this address, of a link or of a picture: those are fetched encrypted, or not at all."""
    return address.lower().startswith(("https://",) if element == "img" else ("http://", "https://", "mailto:"))


def addresses(html: str) -> Iterator[tuple[str, str, int]]:
    """The links and pictures of HTML as it was typed: element, address, lines before it. For a person, who is told of a
    mistake; `clean` looks for itself."""
    for element in _LINKED.finditer(html):
        if found := _LINK.search(element[2]):
            address = unescape(next(group for group in found.groups() if group is not None)).strip()
            yield element[1].lower(), address, html.count("\n", 0, element.start())
