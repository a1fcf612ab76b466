"""The file of what was refused: the original cells behind the reason, to be corrected and imported again."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tasks.imports.cells import safe
from tasks.imports.reader import Layout, batches
from tasks.imports.rules import REFUSED_COLUMNS


def write_refused(path: Path, source: IO[bytes], layout: Layout, refused: Iterator[tuple[int, str, str]]) -> None:
    """Write the refused lines of a file, each a line number, a reason and a detail, in the order of their numbers. As
    a spreadsheet opens the file itself: with its delimiter, and a byte order mark unless it is UTF-8 without one.

    What cannot be split into the cells of the header is written as it is: without correction it is refused again.
    Raises OSError."""
    encoding = "utf-8" if layout.encoding == "utf-8" else "utf-8-sig"
    again = [name.strip() in REFUSED_COLUMNS for name in layout.header]
    behind = len(REFUSED_COLUMNS) if all(again[: len(REFUSED_COLUMNS)]) else 0
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=layout.delimiter)
        header = [name for name, ours in zip(layout.header, again, strict=True) if not ours]
        writer.writerow([*REFUSED_COLUMNS, *map(safe, header)])
        wanted = next(refused, None)
        for batch in batches(source, layout, whole=True):
            lines = batch.read + [(one.line, one.cells[behind:]) for one in batch.refused]
            for number, cells in sorted(lines, key=lambda each: each[0]):
                if wanted is None:
                    return
                if number == wanted[0]:
                    whole = len(cells) == len(again)
                    kept = (cell for n, cell in enumerate(cells) if not (whole and again[n]))
                    writer.writerow([wanted[0], wanted[1], safe(wanted[2]), *map(safe, kept)])
                    wanted = next(refused, None)
