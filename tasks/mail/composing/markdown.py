"""What admins write, as HTML that is safe to send and as its plain-text twin: CommonMark with tables, strikethrough,
pasted addresses and line breaks; cleaned, and bounded in the time and memory it takes.

Merge fields sit it out behind stand-ins, so that neither Markdown nor escaping touches them: a value is text, whoever
wrote the words around it.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from tasks.mail.composing.autolinks import AUTO, address_rule, text_rule
from tasks.mail.composing.cleaning import addresses, as_typed, clean, leads
from tasks.mail.composing.merge import MergeError, Slot, line_of_slot, quoted
from tasks.mail.composing.placeholders import FieldInAddress, Placeholders
from tasks.mail.composing.plain import plain

#: The longest body, in octets of UTF-8: mailbox providers show about 100 kB of a mail and cut off the rest.
LONGEST_BODY = 256 * 1024
#: The longest paragraph, in characters. What Markdown does between two empty lines can take the square of its length.
LONGEST_PARAGRAPH = 10_000
MOST_LINES = 5_000
#: The longest address of a link, its title included.
LONGEST_ADDRESS = 2_000
#: Merge fields of a body, and of a subject, at most: each is filled in for each recipient.
MOST_SLOTS, MOST_SLOTS_OF_SUBJECT = 200, 10
#: Cells of all tables, at most: a short line of Markdown can be a long row of empty ones.
MOST_CELLS = 5_000
_EMPTY_LINE = re.compile(r"\n[ \t]*(?=\n)")
#: How often the parser may look for marks, and how many tags and characters of HTML may come of it, before what is
#: written is no letter but meant to keep us busy. A letter of the greatest length needs two thirds of it.
_LOOKS, _TAGS, _HTML = 50_000, 20_000, 4 * LONGEST_BODY
#: Marks that are meant and mean nothing where they stand: what they are, and for what.
_RAW = {
    "bold": re.compile(r"\*\*[^*]+\*\*"),
    "struck out": re.compile(r"~~[^~]+~~"),
    "a link": re.compile(r"\[[^\[\]\n]+\]\([^()\n]*\)"),
}
#: How deep lists and quotations may be nested in one another; what is deeper, the parser would leave out.
_DEEPEST = 20


class _Markdown(MarkdownIt):
    """CommonMark and what people expect besides, with addresses that are the same for every recipient."""

    def __init__(self, placeholders: Placeholders) -> None:
        super().__init__("commonmark", {"breaks": True, "maxNesting": _DEEPEST})
        self._stand_ins = placeholders
        self.enable(["table", "strikethrough"])
        self.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
        self.inline.ruler.before("text", "look", _count_looks)
        self.inline.ruler.before("text", "address", address_rule)
        self.inline.ruler.at("text", text_rule)
        self.core.ruler.before("text_join", "raw", partial(_refuse_raw_marks, placeholders=placeholders))
        for html in ("html_inline", "html_block"):
            self.add_render_rule(html, _html)

    def normalizeLink(self, url: str) -> str:  # noqa: N802
        self._stand_ins.refuse_in(url)
        return super().normalizeLink(url)

    def validateLink(self, url: str) -> bool:  # noqa: ARG002, N802
        return True  # `_refuse_addresses` says what is wrong with one


class _TooBusy(Exception):
    """What is written keeps the parser busy beyond any letter."""


def _count_looks(state: StateInline, _silent: bool) -> bool:
    """Not a rule of Markdown: counts how often one is looked for."""
    state.env["looks"] -= 4 if state.src[state.pos] in "<[!" else 1  # an address is to be taken apart
    if state.env["looks"] < 0:
        raise _TooBusy
    return False


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """The rule for tables; before one is made, its cells are counted."""
    if not table(state, start, end, True):
        return False
    if silent:
        return True
    columns = state.src.count("|", state.bMarks[start], state.eMarks[start]) + 1
    rows = next((line for line in range(start, end) if state.isEmpty(line)), end) - start
    state.env["cells"] -= columns * rows
    if state.env["cells"] < 0:
        raise MergeError(f"Line {start + 1}: the tables have more than {MOST_CELLS} cells.")
    return table(state, start, end, False)


def _refuse_raw_marks(state: StateCore, placeholders: Placeholders) -> None:
    """Not a rule that makes anything: refuses marks that would be mailed as they stand. An escaped one is meant."""
    for token in state.tokens:
        line = token.map[0] + 1 if token.map else 1
        said = "".join(
            "\n"
            if child.type.endswith("break")
            else child.content
            if child.type == "text" and child.info != AUTO
            else "\0"
            for child in token.children or ()
        )
        for meant, marks in _RAW.items():
            if found := marks.search(said):
                line += said.count("\n", 0, found.start())
                shown = quoted(re.sub("\0+", "…", placeholders.finish(found[0], str)))
                raise MergeError(
                    f"Line {line}: {shown} is not {meant} as it stands: leave out the blanks inside the marks, and"
                    " letters beside them, or write \\ before each mark to have it shown."
                )


def _html(_self: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType) -> str:
    return as_typed(tokens[index].content)


def letter(text: str, parts: Sequence[str | Slot], placeholders: Placeholders) -> tuple[str, str]:
    """The HTML and the plain text of a body that `parse` split into parts, each slot behind its stand-in.

    Raises MergeError, with the line where one is to blame, for what cannot be sent.
    """
    _refuse_length(text)
    refuse_slots(parts, MOST_SLOTS, "The body")
    try:
        rendered, mute = _rendered(placeholders)
        html = clean(rendered, placeholders.refuse_in)
        _refuse_size(html)
        if (slots := placeholders.count(html)) > MOST_SLOTS:
            raise MergeError(_too_many_slots("The body", slots, MOST_SLOTS))
        said = plain(html)
        placeholders.refuse_in_addresses(said)
    except FieldInAddress as problem:
        line = line_of_slot(text, sum(isinstance(part, Slot) for part in parts[: problem.part]))
        raise MergeError(
            f"Line {line}: the address of a link cannot hold a merge field: put the field in the text of the link, or a"
            " blank before it."
        ) from None
    except (_TooBusy, RecursionError):
        raise MergeError("The body has too many marks of Markdown, or of HTML, for one letter.") from None
    if not said.strip():
        where = "Nothing of the body can be read as text" if mute is None else f"Line {mute}: the picture says nothing"
        raise MergeError(f"{where}: write words, or what a picture shows, as in ![The hall](https://…).")
    return html, said


def refuse_slots(parts: Sequence[str | Slot], most: int, where: str) -> None:
    """Raises MergeError for more slots than can be filled in."""
    slots = sum(isinstance(part, Slot) for part in parts)
    if slots > most:
        raise MergeError(_too_many_slots(where, slots, most))


def _too_many_slots(where: str, slots: int, most: int) -> str:
    return f"{where} has {slots} merge fields; at most {most} can be filled in."


def _rendered(placeholders: Placeholders) -> tuple[str, int | None]:
    """The HTML as it was written, and the line of the first picture without a description."""
    markdown = _Markdown(placeholders)
    env: EnvType = {"looks": _LOOKS, "cells": MOST_CELLS}
    tokens = markdown.parse(placeholders.source, env)
    mute = _refuse_addresses(tokens, placeholders)
    for token in tokens:
        token.children = list(_named_links(token.children or ()))
    html = str(markdown.renderer.render(tokens, markdown.options, env))
    _refuse_size(html)
    return html, mute


def _named_links(tokens: Sequence[Token]) -> Iterator[Token]:
    """The tokens, with its address in a link in which nothing could be seen."""
    for at, token in enumerate(tokens):
        if token.type == "link_close" and tokens[at - 1].type == "link_open":
            yield Token("text", "", 0, content=str(tokens[at - 1].attrs["href"]))
        yield token


def _refuse_size(html: str) -> None:
    if html.count("<") > _TAGS or len(html) > _HTML:
        raise _TooBusy


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


def _refuse_addresses(tokens: Sequence[Token], placeholders: Placeholders) -> int | None:
    """Refuse addresses that lead nowhere, and what is nested too deep; the line of the first picture that has no
    description. Pictures are fetched encrypted, or not at all; and an address is no place to hide a megabyte."""
    mute = None
    for token in tokens:
        line = token.map[0] + 1 if token.map else 1
        if token.nesting == 1 and token.level >= _DEEPEST - 1:
            raise MergeError(f"Line {line}: this is nested too deep; put at most {_DEEPEST // 2} lists in one another.")
        if "style" in token.attrs:  # how a table's column is aligned
            token.attrs = {"align": str(token.attrs["style"]).rpartition(":")[2]}
        if token.type == "html_block":
            _refuse_html(token.content, line, placeholders)
        for child in token.children or ():
            if child.type in {"softbreak", "hardbreak"}:
                line += 1
            elif child.type == "html_inline":
                _refuse_html(child.content, line, placeholders)
            if sum(len(str(value)) for value in child.attrs.values()) > LONGEST_ADDRESS:
                raise MergeError(f"Line {line}: an address has more than {LONGEST_ADDRESS} characters.")
            if child.type == "image":
                _refuse_address(str(child.attrs["src"]), "img", line)
                mute = line if mute is None and not child.content.strip() else mute
            elif child.type == "link_open":
                _refuse_address(str(child.attrs["href"]), "a", line)
    return mute


def _refuse_html(html: str, line: int, placeholders: Placeholders) -> None:
    for element, address, lines in addresses(html):
        placeholders.refuse_in(address)
        _refuse_address(address, element, line + lines)


def _refuse_address(address: str, element: str, line: int) -> None:
    if leads(address, element):
        return
    if element == "img":
        raise MergeError(f"Line {line}: the address of a picture has to begin with https://.")
    raise MergeError(
        f"Line {line}: a link cannot lead to {quoted(address)!r}: begin the address with https://, http:// or mailto:,"
        " or write it as text."
    )
