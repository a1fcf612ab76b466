"""What is printed for people: no character in it steers a terminal, hides, or begins a line of its own."""

import re
import sys
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator
from io import IncrementalNewlineDecoder
from itertools import chain
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

#: Columns where the reader is a file or a pipe: wide enough for a table not to break its lines.
WIDE = 240

#: Controls (C0, C1), marks that nobody sees and that turn what follows around, halves of characters, separators of
#: lines; but not the joiners that Persian, Indic scripts and pictures are written with, and not the tab.
_UNSEEN = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def visible(text: str) -> str:
    """A text on one line, with what cannot be seen written as in Python: `\\x1b`, `\\u202e`, `\\n`."""
    return _UNSEEN.sub(lambda found: repr(found[0])[1:-1], text)


def visible_rows(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Rows in UTF-8, block by block, with what cannot be seen in them written out. The ends of lines stay: those within
    a cell, too, which no program reads here. A block may end within a character."""
    decoder = IncrementalNewlineDecoder(getincrementaldecoder("utf-8")(errors="replace"), translate=True)
    for block in chain(blocks, [None]):
        text = decoder.decode(block or b"", final=block is None)
        yield "\n".join(map(visible, text.split("\n"))).encode()


class CleanConsole(Console):
    """A console that prints what people wrote so that it can be seen, and cannot be taken for anything else.

    What is printed with `markup=False` is one line, whatever is in it.
    """

    def print(self, *objects: Any, markup: bool | None = None, **options: Any) -> None:
        """Print, as `Console.print` does."""
        if markup is False:
            objects = tuple(visible(it) if isinstance(it, str) else it for it in objects)
        super().print(*objects, markup=markup, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, as `Console.render` does: everything that is printed comes through here, and the ends of its lines
        come alone."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.strip("\n") == "" or not _UNSEEN.search(segment.text):
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)


def speak_utf8() -> None:
    """Print what the terminal's character set lacks as `?` rather than not at all."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
