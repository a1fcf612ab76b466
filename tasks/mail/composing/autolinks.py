"""Addresses as people paste them, between words and without angle brackets (GitHub's "autolinks"), and as they survive
in plain text, where a mail program has to guess where one ends."""

import re
from bisect import bisect_right
from collections import Counter

from markdown_it.common.normalize_url import normalizeLink
from markdown_it.rules_inline import StateInline

#: What ends an address: blanks, what no address may hold (RFC 3986), what nobody sees, and the marks of a sentence in
#: Chinese or Japanese, which has no blanks.
_ENDS = r'\s<>"`{}|^\\\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff、。，．！？；：（）【】「」『』《》“”‘’«»…'
_ONE = rf"(?:[^{_ENDS}\[\]]|\\[!-/:-@\[-`{{-~])"
_REST = rf"(?:{_ONE}|\[{_ONE}*\])+"
_HOST = r"(?:[^\W_](?:[^\W_]|-){0,62}\.)+[^\W\d_]{2,63}"
_MAILBOX = rf"[^\W_](?:[\w.!#$%&'*+/=?^~-]|\\[!-/:-@\[-`{{-~]){{0,63}}@{_HOST}(?![^\W_])"
_ADDRESS = re.compile(
    rf"(?<![A-Za-z0-9])(?:(?P<web>https?://{_REST}|www\.{_REST})|mailto:{_MAILBOX}(?:\?{_REST})?"
    rf"|(?P<mail>(?<![^\W_]){_MAILBOX})|(?P<other>[a-z][a-z0-9+.-]{{1,30}}://{_REST}|(?<![\w.@/-])(?://)?{_HOST}/{_REST}))",
    re.IGNORECASE,
)
#: Marks the tokens of a pasted address, as of one between angle brackets: no Markdown is in them.
AUTO = "auto"
_ESCAPED = re.compile(r"\\(.)")
#: What ends a sentence, not the address in it.
_SENTENCE = "?!.,:;'"
#: What a mail program leaves out of an address in plain text where it is the last character.
_DROPPED = "-_.,;:!?'*~"


class PastedAddresses:
    """The rules of Markdown by which a pasted address is a link, whatever marks are in it."""

    def __init__(self, text: str) -> None:
        self._ends = {match.start(): match for match in _ADDRESS.finditer(text)}
        self._starts = list(self._ends)

    @classmethod
    def of(cls, state: StateInline) -> "PastedAddresses":
        """Those of what is being parsed, looked for once."""
        known: dict[str, PastedAddresses] = state.env.setdefault("addresses", {})
        found = known.get(state.src)
        if found is None:
            found = known[state.src] = cls(state.src)
        return found

    def next_start(self, position: int) -> int | None:
        """Where the first one after a position begins."""
        at = bisect_right(self._starts, position)
        return self._starts[at] if at < len(self._starts) else None

    def at(self, position: int) -> re.Match[str] | None:
        """The one that begins at a position."""
        return self._ends.get(position)


def text_rule(state: StateInline, silent: bool) -> bool:
    """Markdown's rule for text, that stops where an address begins."""
    mark = state.md.inline.terminator_re.search(state.src, state.pos)
    begins = PastedAddresses.of(state).next_start(state.pos)
    end = min(mark.start() if mark else state.posMax, state.posMax, state.posMax if begins is None else begins)
    if end == state.pos:
        return False
    if not silent:
        state.append_pending(state.src[state.pos : end])
    state.pos = end
    return True


def address_rule(state: StateInline, silent: bool) -> bool:
    """A pasted address: a link, unless it stands in the text of one or leads to where no mail should; always as it was
    written."""
    found = PastedAddresses.of(state).at(state.pos)
    if found is None:
        return False
    written = _without_sentence(found[0][: state.posMax - state.pos], _open_marks(state))
    state.pos += len(written)
    if silent:
        return True
    said = _ESCAPED.sub(r"\1", written).replace("&amp;", "&")
    if found["other"] or state.linkLevel > 0:
        state.push("text", "", 0).content = said
        return True
    scheme = "mailto:" if found["mail"] else "http://" if said.lower().startswith("www.") else ""
    token = state.push("link_open", "a", 1)
    token.attrs = {"href": state.md.normalizeLink(scheme + said)}
    token.info = AUTO
    text = state.push("text", "", 0)
    text.content, text.info = said, AUTO
    state.push("link_close", "a", -1)
    return True


def _open_marks(state: StateInline) -> set[str]:
    """The marks of emphasis that were opened and, as far as can be told, not closed."""
    open_: Counter[int] = Counter()
    for mark in state.delimiters:
        open_[mark.marker] += mark.open - mark.close
    return {chr(marker) for marker, n in open_.items() if n > 0}


def _without_sentence(address: str, open_marks: set[str]) -> str:
    """An address without what belongs to the sentence around it: its full stop, its bracket, its emphasis."""
    closed_too_often = address.count(")") - address.count("(")
    end = len(address)
    while end > 1:
        last = address[end - 1]
        if last == ")" and closed_too_often > 0:
            closed_too_often -= 1
        elif last == "(":
            closed_too_often += 1
        elif last not in _SENTENCE and last != "\\" and last not in open_marks:
            break
        end -= 1
    return address[:end]


def is_same(text: str, address: str) -> bool:
    """Whether a text is that address, as people write it."""
    if address in {text, f"mailto:{text}"}:
        return True
    spelt = f"http://{text}" if text.lower().startswith("www.") else text
    return "://" in spelt and normalizeLink(spelt) == address


def in_text(address: str, *, bracketed: bool = False) -> str:
    """An address as it stands in plain text, where mail programs leave out some last characters: those are
    percent-encoded, which means the same (RFC 3986 section 2.3), and so are brackets between brackets."""
    if bracketed:
        address = address.replace("(", "%28").replace(")", "%29")
    if address[-1:] not in _DROPPED or not address:
        return address
    host_ends = address.find("/", address.find("://") + 3)
    if "://" not in address or host_ends < 0:
        return f"{address}/" if "://" in address else address
    if address.endswith("?"):
        return in_text(address[:-1])  # nothing is asked
    return f"{address[:-1]}%{ord(address[-1]):02X}"
