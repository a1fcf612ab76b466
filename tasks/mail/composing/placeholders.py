"""What stands in for merge fields while a text is made into HTML and into plain text."""

import re
import secrets
from collections.abc import Callable, Sequence
from itertools import chain

from tasks.mail.composing.merge import MergeError, Slot

#: The code points for private use (Unicode, the first area). Ten of them are as hard to guess as a key, and to Markdown
#: and HTML they are letters.
_FIRST_PRIVATE, _PRIVATE, _OF_A_MARK = 0xE000, 6_400, 10

#: What mail programs take for an address in plain text, whatever scheme it has or if it has none, to its end; every
#: branch begins where a word does, or at a mark of its own, so that a long word is not read again from each letter. A
#: bracket that opens does not end it, whether another closes it or not.
_REST = r"(?:[^\s<>\"()]|\([^\s<>\"()]*\)|\()*+"
_TOP = r"(?:xn--[\w-]+|[^\W\d_]{2,})"
_IN_TEXT = re.compile(
    rf"""(?<![a-z0-9+.-])[a-z0-9+.-]*://{_REST}
      |  (?:www\.|mailto:|\b(?:xmpp|sips?):){_REST}
      |  (?<![\w.-])(?:[\w.-]*[\w-]\.{_TOP}|[0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}})(?::[0-9]*)?(?:/|[?\#](?=\w)){_REST}
      |  (?<![\w.+-])[\w.+-]+@(?:[\w-]+\.)+{_TOP}
      |  (?<![\w.-])[\w.-]*[\w-]\.[\w-]{{2,}}\.{_TOP}(?![\w-])""",
    re.IGNORECASE | re.VERBOSE,
)

#: The same where no word begins, within what looks like another address: some mail programs begin there.
_ANYWHERE = re.compile(rf"(?:https?://|www\.|mailto:){_REST}", re.IGNORECASE)

#: What mail programs leave out at the end of one.
_ENDS = ".,;:!?'"

#: What a field may come to, as far as an address goes: its default or a word, and, if it has no default, nothing or a
#: word.
_FILLS: tuple[Callable[[Slot], str], ...] = (
    lambda slot: slot.default,
    lambda slot: slot.default or "a",
    lambda slot: "a" if slot.default else "",
    lambda _slot: "a",
)


class FieldInAddress(Exception):
    """The part of a text with this index stands in the address of a link."""

    def __init__(self, part: int) -> None:
        super().__init__(part)
        self.part = part


class Placeholders:
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
        """The same for what a mail program would take for an address in plain text, be it that a default makes one: no
        field may touch it. One that is within a default is the same for everybody who gets to see it."""
        for fill in _FILLS:
            slots: list[tuple[int, int, int]] = []
            spelt, end = "", 0
            for found in self._one.finditer(text):
                said = fill(self._slot(found))
                spelt += text[end : found.start()] + said
                slots.append((len(spelt) - len(said), len(spelt), int(found[1])))
                end = found.end()
            whole = spelt + text[end:]
            for address in chain(_IN_TEXT.finditer(whole), _ANYWHERE.finditer(whole)):
                low, high = address.span()
                touched = [slot for slot in slots if slot[0] <= high and low <= slot[1]]
                seen = low + len(address[0].rstrip(_ENDS))
                if touched and (len(touched) > 1 or not touched[0][0] <= low <= seen <= touched[0][1]):
                    raise FieldInAddress(touched[0][2])

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
