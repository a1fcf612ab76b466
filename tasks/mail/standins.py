"""What stands in for merge fields while a text is made into HTML and into plain text."""

import re
import secrets
from collections.abc import Callable, Sequence

from tasks.mail.merge import MergeError, Slot

#: The code points for private use (Unicode, the first area). Ten of them are as hard to guess as a key, and to Markdown
#: and HTML they are letters.
_FIRST_PRIVATE, _PRIVATE, _OF_A_MARK = 0xE000, 6_400, 10

#: What mail programs take for an address in plain text.
_IN_TEXT = re.compile(r"(?:https?://|www\.|mailto:)[^\s<>\")]*", re.IGNORECASE)


class FieldInAddress(Exception):
    """The part of a text with this index stands in the address of a link."""

    def __init__(self, part: int) -> None:
        super().__init__(part)
        self.part = part


class StandIns:
    """Stands in for the slots of a text: the index of each part between two marks.

    The marks are made up for each text: no author can write them, in whatever form.
    """

    def __init__(self, parts: Sequence[str | Slot]) -> None:
        self._parts = parts
        self._mark = "".join(chr(_FIRST_PRIVATE + secrets.randbelow(_PRIVATE)) for _ in range(_OF_A_MARK))
        self._one = re.compile(f"{self._mark}([0-9]{{1,6}}){self._mark}")

    @property
    def source(self) -> str:
        """The text, each slot behind its stand-in."""
        return "".join(
            part if isinstance(part, str) else f"{self._mark}{at}{self._mark}" for at, part in enumerate(self._parts)
        )

    def count(self, text: str) -> int:
        """How many stand in a text."""
        return text.count(self._mark) // 2

    def refuse_in(self, address: str) -> None:
        """Raises `FieldInAddress` for an address that would not be the same for every recipient."""
        if found := self._one.search(address):
            raise FieldInAddress(int(found[1]))

    def refuse_in_addresses(self, text: str) -> None:
        """The same for what a mail program would take for an address in plain text, where a default may begin one."""
        spelt = self._one.sub(lambda found: f"{found[0]}{self._slot(found).default}", text)
        for address in _IN_TEXT.findall(spelt):
            self.refuse_in(address)

    def replace(self, text: str, words: Callable[[Slot], str | None]) -> str:
        """The text with words in place of the slots; None leaves one as it is."""
        return self._one.sub(lambda found: found[0] if (put := words(self._slot(found))) is None else put, text)

    def finish(self, text: str, words: Callable[[Slot], str]) -> str:
        """The text with words in place of all slots. Raises `MergeError` where any mark is left."""
        finished = self.replace(text, words)
        if self._mark in finished:
            raise MergeError("A merge field was torn apart by what stands around it: put it between words.")
        return finished

    def _slot(self, found: re.Match[str]) -> Slot:
        at = int(found[1])
        part = self._parts[at] if at < len(self._parts) else ""
        if not isinstance(part, Slot):
            raise MergeError("The text holds what stands in for a merge field, and there is none.")
        return part
