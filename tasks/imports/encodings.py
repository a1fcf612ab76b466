"""Which encoding a file is written in: what its first bytes claim, else UTF-8 if most of its lines are, else a guess.

The guess is that of chardetng, which Firefox uses for pages that do not say: of the libraries tried it does best with
a few short names. It knows the web's encodings; those of old Macs and of DOS are told by what they make of the words.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from chardetng_py.detector import EncodingDetector

from tasks.imports.rules import NotReadable

#: Bytes looked at at once to find the encoding.
PIECE = 1 << 18

#: Bytes of lines that are not UTF-8 by which the encoding is guessed, at most.
EVIDENCE = 1 << 16

#: Lines that are UTF-8 though not ASCII, after which a file is believed to be.
ENOUGH = 1000

#: What stands in the text for bytes that the encoding does not know: no file can contain it, and no database.
UNREADABLE = "\udcff"

#: The name of the error handler that puts it there.
MARKING = "rollcall.marking"

codecs.register_error(MARKING, lambda problem: (UNREADABLE, problem.end))  # type: ignore[attr-defined]

#: How a file says in its first bytes what it is (the Unicode standard, 23.8); the longer ones first.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

#: What is no table at all, by its first bytes.
OTHER_FILES = {
    b"PK\x03\x04": "an Excel workbook or another ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "compressed",
}

#: The Python codec for what the web calls by a narrower name.
_CODECS = {"Shift_JIS": "cp932", "EUC-KR": "cp949", "GBK": "gb18030", "Big5": "big5hkscs", "ISO-8859-8-I": "iso8859-8"}

#: What a western guess may be instead.
_BESIDE_WESTERN = ("mac_roman", "cp850")


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding, by Python's name. `guessed`: only evidence says so; a line that is UTF-8 is then not in it."""

    name: str
    guessed: bool = False


def encoding_of(file: IO[bytes]) -> Encoding:
    """The encoding of a file, in constant memory. Raises `NotReadable` for what is no text."""
    file.seek(0)
    begin = file.read(4)
    for mark, what in OTHER_FILES.items():
        if begin.startswith(mark):
            raise NotReadable(f"It is {what}, not a CSV file: save the table as CSV (UTF-8) and import that.")
    for mark, name in MARKS.items():
        if begin.startswith(mark):
            return Encoding(name)
    if begin[1:2] == b"\0" or begin[:1] == b"\0":
        return Encoding("utf-16-le" if begin[1:2] == b"\0" else "utf-16-be")
    file.seek(0)
    good, odd, evidence = 0, 0, bytearray()
    for block in _blocks(file):
        if block.isascii() or (good >= ENOUGH and not odd and _is_utf8(block)):
            continue
        for line in block.splitlines(keepends=True):
            if line.isascii():
                continue
            if _is_utf8(line):
                good += 1
            else:
                odd += 1
                if len(evidence) < EVIDENCE:
                    evidence += line[:EVIDENCE]
    return Encoding("utf-8") if good >= odd else Encoding(_guess(bytes(evidence)), guessed=True)


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    """The file in pieces that end where a line does; one that is longer than a piece is cut."""
    rest = b""
    while piece := file.read(PIECE):
        end = max(piece.rfind(b"\n"), piece.rfind(b"\r")) + 1 or len(piece)
        yield rest + piece[:end]
        rest = piece[end:]
    yield rest


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _guess(evidence: bytes) -> str:
    detector = EncodingDetector()
    detector.feed(evidence, last=True)
    said = detector.guess(tld=None, allow_utf8=False)
    name = codecs.lookup(_CODECS.get(said, said)).name
    if name in {"cp1250", "cp1252", "cp1254", "cp1257", "iso8859-2"}:
        return min((name, *_BESIDE_WESTERN), key=lambda each: _strange(evidence.decode(each, MARKING)))
    return name


def _strange(text: str) -> int:
    """How many words with a letter beyond ASCII are none: with other characters, or capital letters, within."""
    words = [word for word in re.split(r"""[\s,;"'’()-]+""", text) if not word.isascii()]
    return sum(not (word.isalpha() and (word.istitle() or word.isupper() or word.islower())) for word in words)
