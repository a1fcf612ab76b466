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

from config.phrases import COMPRESSED, EXCEL, NOT_CSV, OLD_EXCEL, PDF
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
    b"PK\x03\x04": EXCEL,
    b"\xd0\xcf\x11\xe0": OLD_EXCEL,
    b"%PDF": PDF,
    b"\x1f\x8b": COMPRESSED,
}

#: Characters that no table has, NUL besides; the least of them, and one in how many bytes, that make a file no text.
CONTROLS = bytes({*range(1, 32)} - {*b"\t\n\v\f\r\x1a\x1b"}) + b"\x7f"
FEW_CONTROLS, SHARE_OF_CONTROLS = 8, 25

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
    begin = file.read(PIECE)
    _check_text(begin)
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


def _check_text(begin: bytes) -> None:
    """Raises `NotReadable` for a file that begins as no text does: with NUL, and much else that no cell has. In UTF-16
    every other octet of a header is NUL, and what follows may be anything."""
    for mark, says in OTHER_FILES.items():
        if begin.startswith(mark):
            raise NotReadable(says())
    controls = len(begin) - len(begin.translate(None, CONTROLS))
    is_wide = begin.startswith(tuple(MARKS)) or b"\0\0" in {begin[:4:2], begin[1:4:2]}
    if not is_wide and b"\0" in begin and controls >= FEW_CONTROLS and controls * SHARE_OF_CONTROLS > len(begin):
        raise NotReadable(NOT_CSV())


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
