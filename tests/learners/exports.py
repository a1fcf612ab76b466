"""Files of learners as any system may export them, and whom each calls inactive."""

import csv
import io
from dataclasses import dataclass, field

from hypothesis import strategies as st

#: Encodings, and letters of names that are written in them.
ENCODINGS = {
    "utf-8": "éłЯ太ß",
    "utf-8-sig": "éłЯ太ß",
    "utf-16": "éłЯ太ß",
    "cp1252": "éèüßñÅ",
    "cp1250": "łżśćąĄ",
    "cp1251": "ИванПетро",
    "mac_roman": "éèüßñ",
    "cp932": "太郎山田表",
    "gb18030": "小明王伟",
}

#: What columns that say who is inactive are called, in words, and what they have for active and for inactive.
STATUSES = [
    ("status", ["Active", "enabled", "NEW", "Pending", "invited", "actief"],
     ["Suspended", "Long Term Leave", "LONG_TERM_LEAVE", "long-term leave", "inactive", "Terminated", "tobedeleted",
      "DEPROVISIONED", "Inactief", "Désactivé", "Suspended by HR"]),
    ("account status", ["Active"], ["Suspended", "disabled", "deleted"]),
    ("active", ["Yes", "1", "true", "TRUE", "Y", "x", "oui", "ja"], ["No", "0", "false", "N", "non", "nein", "Nee"]),
    ("account enabled", ["True"], ["False"]),
    ("enabled user", ["true"], ["false"]),
    ("suspended", ["0", "", "no", "False"], ["1", "yes", "True", "x", "Suspended"]),
    ("deleted", ["0", ""], ["1", "true"]),
    ("on leave", ["No", ""], ["Yes"]),
    ("deactivation date", ["", "2999-12-31", "31/12/2999"], ["2020-01-31", "31/01/2020", "2020-01-31T10:00:00Z"]),
    ("auth", ["manual", "saml"], ["nologin"]),
]  # fmt: skip


@dataclass(frozen=True)
class Export:
    """A file, whom it is about, and whom it calls inactive on any line."""

    body: bytes
    ids: set[str] = field(default_factory=set)
    inactive: set[str] = field(default_factory=set)


@st.composite
def exports(draw: st.DrawFn) -> Export:
    """A file as some system may write it, and some spreadsheet may have saved it."""
    encoding = draw(st.sampled_from(list(ENCODINGS)))
    unicode = encoding.startswith("utf")
    said = draw(st.lists(st.sampled_from(STATUSES), min_size=1, max_size=3, unique_by=lambda each: each[0]))
    if all(name == "auth" for name, *_ in said):
        said.append(STATUSES[0])
    columns = draw(st.permutations(["id", "login", "email", "first name", "department", *(name for name, *_ in said)]))
    rows, ids, inactive = [], set(), set()
    for _ in range(draw(st.integers(1, 6))):
        id_ = draw(st.sampled_from(["101", "00102", "103", "x-4", "e5"]))
        gone = {name for name, *_ in said if draw(st.sampled_from([False, False, True]))}
        cells = {name: draw(st.sampled_from(no if name in gone else yes)) for name, yes, no in said}
        if not unicode:
            cells = {name: cell if cell.isascii() else "Suspended" for name, cell in cells.items()}
        cells = {name: draw(worn(cell, unicode=unicode)) for name, cell in cells.items()}
        cells |= {
            "id": draw(marked(id_, unicode=unicode)),
            "login": f"user {id_}",
            "email": draw(st.sampled_from(["", f"{id_}@acme.example", f" {id_}@acme.example", f"{id_}@acme..example"])),
            "first name": draw(st.text(ENCODINGS[encoding] + "abc '\"=;,", max_size=12)),
            "department": draw(st.text(ENCODINGS[encoding] + "abc '\"=;,\n", max_size=12)),
        }
        ids.add(id_)
        inactive |= {id_} if gone else set()
        rows.append([cells[column] for column in columns])
    text = io.StringIO(newline="")
    writer = csv.writer(
        text,
        delimiter=draw(st.sampled_from(",;\t")),
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    )
    writer.writerow([draw(titled(column)) for column in columns])
    writer.writerows(rows)
    return Export(text.getvalue().encode(encoding, "replace"), ids, inactive)


def titled(column: str) -> st.SearchStrategy[str]:
    """A column's name, as one system or another writes it."""
    words = column.split()
    return st.sampled_from([
        column, column.title(), column.upper(), "_".join(words), "-".join(words), "".join(words),
        f"{column} [REQUIRED]", words[0] + "".join(word.title() for word in words[1:]),
    ])  # fmt: skip


def worn(cell: str, *, unicode: bool) -> st.SearchStrategy[str]:
    """A cell, with what lies around it, or in it, when it has been through many hands."""
    ways = [cell, cell.lower(), cell.upper(), f" {cell} ", f"{cell}\t"]
    if unicode:
        ways += [f"{cell}\u200b", f"\u00a0{cell}", f"\ufeff{cell}", cell.replace(" ", "\u00a0")]
    return st.sampled_from(ways)


def marked(id_: str, *, unicode: bool) -> st.SearchStrategy[str]:
    """An id, as a spreadsheet keeps it."""
    ways = [id_, f" {id_}", f'="{id_}"', f"'{id_}" if id_.isdigit() else id_]
    return st.sampled_from([*ways, *([f"\ufeff{id_}", f"{id_}\u200e"] if unicode else [])])
