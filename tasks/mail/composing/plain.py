"""The plain-text twin of a mail: what its HTML, or its MJML, says, as one would type it in a letter.

Paragraphs stand apart, a list has a dash for each item, a quotation its `>`, a link its address behind it. What only
makes sense to the eye is marked `css-class="eye"` and left out; `css-class="footer"` begins below a signature's dashes.
"""

import re
from html.parser import HTMLParser

from tasks.mail.composing.autolinks import in_text, is_same

#: Deeper than this, elements no longer indent anything: no letter needs it, and text must stay text.
_DEEPEST = 12
#: What sets signatures apart (RFC 3676 section 4.3); the space belongs to it.
_SIGNATURE = "-- "

_BLANKS = re.compile("[ \t\n\r\f]+")
_AROUND_BREAKS = re.compile("(?<! ) *\n *")

_PARAGRAPHS = frozenset(
    {"p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "blockquote", "hr", "mj-text", "table", "caption"}
)
_LISTS = frozenset({"ul", "ol"})
_UNSEEN = frozenset({"mj-head", "mj-style", "mj-raw", "style", "script", "title", "head"})
_VOID = frozenset({"br", "hr", "img", "meta"})
_EMPHASIS = {"strong": "*", "b": "*", "em": "_", "i": "_", "s": "~", "del": "~"}
_CELLS = frozenset({"td", "th"})
#: What stands between the cells of a table's row.
_BESIDE = " | "


def plain(html: str) -> str:
    """The text of HTML or MJML, without a line break at its end."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.letter()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []
        self._said: list[str] = []  # since the last line was ended
        self._margins: list[tuple[str, str, str]] = []  # tag, what the first line begins with, what the others do
        self._common = 0  # how many margins have stood since the last line was ended
        self._apart = False  # whether an empty line comes next
        self._numbers: list[int | None] = []  # the next number of each list
        self._links: list[tuple[str, int]] = []  # address, where in what is said its text begins
        self._marks: list[tuple[str, int]] = []  # emphasis: its element, where in what is said its mark is
        self._address_ends = 0  # where in what is said the last address ends that has no bracket after it
        self._unseen: list[str] = []
        self._verbatim = False
        self._row = -1  # how many lines there were before a row in which a cell has begun

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if self._unseen or tag in _UNSEEN or given.get("css-class") == "eye":
            if tag not in _VOID:
                self._unseen.append(tag)
            return
        self._begin(tag, signs=given.get("css-class") == "footer")
        match tag:
            case "br":
                self._said.append("\n")
            case "hr":
                self._said.append("* * *")
                self._end_line(apart=True)
            case "img":
                self._said.append(_BLANKS.sub(" ", given.get("alt") or ""))
            case "a":
                self._links.append((given.get("href") or "", len(self._said)))
            case "ul":
                self._numbers.append(None)
            case "ol":
                self._numbers.append(int(start[:9]) if (start := given.get("start") or "1").isdecimal() else 1)
            case "li":
                self._indent(tag, self._bullet())
            case "blockquote":
                self._indent(tag, "> ", "> ")
            case "pre":
                self._indent(tag, "    ")
                self._verbatim = True
            case _ if tag in _EMPHASIS:
                self._marks.append((tag, len(self._said)))
                self._said.append(_EMPHASIS[tag])

    def handle_endtag(self, tag: str) -> None:
        if self._unseen:
            if tag == self._unseen[-1]:
                self._unseen.pop()
            return
        if tag in _EMPHASIS:
            self._end_emphasis(tag)
        elif tag == "a" and self._links:
            self._end_link(*self._links.pop())
        elif tag == "tr":
            self._end_row()
        elif tag in _PARAGRAPHS or tag in _LISTS or tag == "li":
            self._end_line(apart=tag in _PARAGRAPHS or (tag in _LISTS and len(self._numbers) == 1))
            self._verbatim = self._verbatim and tag != "pre"
            if tag in _LISTS and self._numbers:
                self._numbers.pop()
            if self._margins and self._margins[-1][0] == tag:
                self._margins.pop()
                self._common = min(self._common, len(self._margins))

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._said.append(data if self._verbatim else _BLANKS.sub(" ", data))

    def letter(self) -> str:
        self._end_line(apart=False)
        return "\n".join(self._lines)

    def _begin(self, tag: str, *, signs: bool) -> None:
        if signs:
            self._end_line(apart=True)
            self._put(_SIGNATURE)
        elif tag == "tr":
            self._end_row()
        elif tag in _CELLS:
            self._begin_cell()
        elif tag in _PARAGRAPHS or tag in _LISTS or tag == "li":
            self._end_line(apart=tag in _PARAGRAPHS or (tag in _LISTS and not self._numbers))

    def _begin_cell(self) -> None:
        if self._row < 0:
            self._row = len(self._lines)
        elif self._row == len(self._lines):
            self._said.append(_BESIDE)
        else:
            self._end_line(apart=False)  # the cell before has lines of its own
            self._row = len(self._lines)

    def _end_row(self) -> None:
        self._end_line(apart=False)
        self._row = -1

    def _indent(self, tag: str, first: str, others: str | None = None) -> None:
        if len(self._margins) < _DEEPEST:
            self._margins.append((tag, first, " " * len(first) if others is None else others))

    def _bullet(self) -> str:
        number = self._numbers[-1] if self._numbers else None
        if number is None:
            return "- "
        self._numbers[-1] = number + 1
        return f"{number}. "

    def _end_emphasis(self, tag: str) -> None:
        """A mark at the end; but none where a mail program would take it for a part of the address before it."""
        begun, at = self._marks.pop() if self._marks and self._marks[-1][0] == tag else ("", 0)
        at_address = 0 < self._address_ends == len(self._said)
        if begun and (at_address or len(self._said) == at + 1):
            self._said[at] = ""
        elif not at_address:
            self._said.append(_EMPHASIS[tag])

    def _end_link(self, address: str, begins: int) -> None:
        said = "".join(self._said[begins:])
        text = _BLANKS.sub(" ", said).strip()
        shown = address[len("mailto:") :].partition("?")[0] if address.lower().startswith("mailto:") else address
        if text and not is_same(text, address):
            self._said.append(f" ({in_text(shown, bracketed=True)})" if shown else "")
            return
        if text:
            self._said[begins:] = [said.replace(text, in_text(text if shown == address else shown))]
        else:
            self._said.append(in_text(shown))
        self._address_ends = len(self._said)

    def _end_line(self, *, apart: bool) -> None:
        said = "".join(self._said)
        said = said.strip("\n") if self._verbatim else _AROUND_BREAKS.sub("\n", re.sub(" {2,}", " ", said)).strip(" \n")
        self._said.clear()
        self._marks.clear()
        self._address_ends = 0
        if said:
            for line in said.split("\n"):
                self._put(line)
        self._apart = self._apart or apart

    def _put(self, line: str) -> None:
        if self._apart and self._lines and self._lines[-1] != _SIGNATURE:
            self._lines.append("".join(others for _, _, others in self._margins[: self._common]).rstrip())
        self._apart = False
        self._lines.append("".join(first for _, first, _ in self._margins) + line)
        self._margins = [(tag, others, others) for tag, _, others in self._margins]
        self._common = len(self._margins)
