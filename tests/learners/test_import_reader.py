"""Reading a file as people have it, and finding out what its columns are: R2."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.phrases import typed
from tasks.imports import Field, LineBatch, NotReadable, ReadingOptions, batches, layout_of
from tasks.imports.rules import LONGEST, Refusal, RefusedLine

#: How a file begins and is encoded; by its beginning, or its bytes, it is known again.
ENCODINGS = {
    "utf-8": "",
    "utf-8-sig": "",
    "utf-16": "",
    "utf-16-le": "\ufeff",
    "utf-16-be": "\ufeff",
    "cp1252": "",
}

#: A line no file has.
NEVER = 10**9

HEADER = ["Id", "Login", "First name"]


@st.composite
def written(draw: st.DrawFn) -> tuple[bytes, dict[str, str], list[tuple[int, tuple[str, ...]]]]:
    """A file as a program writes it, what a person says of it, and what is to be read of it: the cells, and the line on
    which each begins."""
    encoding = draw(st.sampled_from(list(ENCODINGS)))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    cell = st.text(st.characters(codec="cp1252" if encoding == "cp1252" else "utf-8", exclude_characters="\0"))
    rows = draw(st.lists(st.tuples(cell, cell, cell), max_size=12))
    plain = draw(st.booleans()) and not any(set("\r\n") & set(each) for row in rows for each in row)
    text = io.StringIO(newline="")
    writer = csv.writer(
        text,
        delimiter=draw(st.sampled_from(",;\t")),
        lineterminator=end,
        quoting=csv.QUOTE_MINIMAL if plain else csv.QUOTE_ALL,
    )
    writer.writerow(HEADER)
    expected = []
    for row in rows:
        if draw(st.booleans()):
            text.write(end)
        begins = 1 + len(re.findall("\r\n|\r|\n", text.getvalue()))
        writer.writerow(row)
        if any(each.strip() for each in row):
            expected.append((begins, tuple(each.strip() for each in row)))
    told = {"encoding": encoding} if encoding == "cp1252" else {}
    return (ENCODINGS[encoding] + text.getvalue()).encode(encoding), told, expected


#: A file that says nothing of who is inactive may be read.
KEEP = ReadingOptions(keep_status=True)


def read(body: bytes, **told: str) -> tuple[list[tuple[int, tuple[str, ...]]], list[RefusedLine]]:
    """The lines of a file that can be split into cells, without the space around these, and those that cannot."""
    source = io.BytesIO(body)
    found = list(batches(source, layout_of(source, KEEP, **told)))
    return stripped(found), [line for batch in found for line in batch.refused]


def stripped(found: list[LineBatch]) -> list[tuple[int, tuple[str, ...]]]:
    return [(line, tuple(map(str.strip, cells))) for batch in found for line, cells in batch.read]


@given(written())
def test_r02_any_table_is_read_as_it_was_written_each_line_by_its_number(
    file: tuple[bytes, dict[str, str], list[tuple[int, tuple[str, ...]]]],
) -> None:
    body, told, expected = file

    assert read(body, **told) == (expected, [])


@given(st.text(st.sampled_from('"\r\n,; a'), max_size=60))
def test_r02_no_line_is_lost_whatever_quotation_marks_do(text: str) -> None:
    """What is refused ends on the line it says, and the next line that is not empty is taken or refused itself."""
    lines, refused = read(("id,login\n" + text).encode())

    physical = dict(enumerate(re.split("\r\n|\r|\n", text), 2))
    begins = sorted([line for line, _ in lines] + [entry.line for entry in refused])
    for entry in refused:
        last = int((re.findall(r"up to line (\d+)", entry.detail) or [entry.line])[0])
        following = [number for number, each in physical.items() if number > last and each.strip(' ,"')]
        after = [begin for begin in begins if begin > entry.line]
        assert last < min(after, default=NEVER) <= min(following, default=NEVER)
    first = [number for number, each in physical.items() if each.strip(' ,"')]
    assert min(begins, default=NEVER) <= min(first, default=NEVER)
    assert len(begins) == len(set(begins))


def test_a_file_of_many_batches_is_read_to_its_end() -> None:
    lines, refused = read(b"id,login\n" + b"".join(b'L%d,"a\nb"\n' % n for n in range(1, 2501)))

    assert (len(lines), refused) == (2500, [])
    assert lines[-1] == (2 * 2500, ("L2500", "a\nb"))


@pytest.mark.parametrize("quote", ["", '"'])
def test_r02_a_cell_longer_than_any_stops_no_other(quote: str) -> None:
    longest = csv.field_size_limit()
    body = "id,login,first name\n" + "".join(
        f"L{n},l,{quote}{'x' * length}{quote}\n" for n, length in enumerate((1, longest, longest + 1, 1))
    )

    lines, refused = read(body.encode())

    assert [(line, cells[0], len(cells[2])) for line, cells in lines] == [
        (2, "L0", 1),
        (3, "L1", longest),
        (5, "L3", 1),
    ]
    assert refused == [RefusedLine(4, Refusal.QUOTES, f"field larger than field limit ({longest})")]


@pytest.mark.parametrize(
    ("header", "fields"),
    [
        ("ID;Benutzername", None),
        ("id,USER NAME", ["learner", "username"]),
        ("E-Mail;User ID", ["learner", "email"]),
        ("user_id\tlogin\temail address\tgiven name\tSurname\tLanguage\tTime zone\tAccount status", list(Field)),
        ("\ufefflearner;mail;tz;lang", ["learner", "email", "locale", "time_zone"]),
        ("Department;Id;Login;Department", ["learner", "username"]),
        ('sep=;\r\n"Id";"Login"', ["learner", "username"]),
        ("\n\nid,login", ["learner", "username"]),
    ],
)
def test_r02_columns_are_known_in_any_order_and_case(header: str, fields: list[str] | None) -> None:
    source = io.BytesIO(header.encode())

    if fields is None:
        with pytest.raises(NotReadable, match="no column for the username"):
            layout_of(source, KEEP)
    else:
        assert list(layout_of(source, KEEP).fields) == fields


def test_a_column_is_the_one_that_was_named() -> None:
    source = io.BytesIO(b"Id;Person;Login;Mail 2\nx;L1;l;l@acme.example\n")

    told = ReadingOptions({Field.LEARNER: "Person", Field.EMAIL: "mail-2"}, keep_status=True)
    layout = layout_of(source, told)

    assert layout.columns.places == {Field.LEARNER: 1, Field.USERNAME: 2, Field.EMAIL: 3}
    assert layout.columns.unused == ("Id",)
    assert stripped(list(batches(source, layout))) == [(2, ("L1", "l", "l@acme.example"))]


@pytest.mark.parametrize(
    ("body", "told", "why"),
    [
        (b"", {}, "The file is empty."),
        (b"\n\n", {}, "The file is empty."),
        (b"Name;Mail\nA;a@acme.example\n", {}, "no column for the learner's id; the columns are 'Name', 'Mail'"),
        (b"Id;First name\nA;A\n", {}, "no column for the username and none for the e-mail"),
        (b"Id;User id;Login\n", {}, "'Id', 'User id' could each be the column learner"),
        (b"Id;Login\n", {Field.EMAIL: "Address"}, "no column 'Address'; the columns are 'Id', 'Login'"),
        (b'"Id;Login\n', {}, "The header cannot be read: unexpected end of data"),
        (b"PK\x03\x04\x14\x00\x81\x8d", {}, "It is an Excel workbook or another ZIP archive, not a CSV file"),
        ("Id;Login\n".encode("utf-16")[:-3], {}, "no column for the username"),
        (b"Id;Login\n", {}, "No column says who is inactive; the columns are 'Id', 'Login'. Say which does with --map"),
    ],
)
def test_r02_a_file_that_cannot_be_read_is_refused_with_one_sentence(
    body: bytes, told: dict[Field, str], why: str
) -> None:
    with pytest.raises(NotReadable) as refused:
        layout_of(io.BytesIO(body), ReadingOptions(told))

    assert why in typed(str(refused.value))
    assert "--" not in str(refused.value), "that is for the command line to say"
    assert "\n" not in str(refused.value)


def test_windows_1252_and_what_is_told_are_obeyed() -> None:
    body = "id;login\nA;José\n".encode("cp1252")

    assert read(body)[0] == [(2, ("A", "José"))]
    assert read(body, encoding="cp850", delimiter=";")[0] == [(2, ("A", "JosÚ"))]
    with pytest.raises(NotReadable, match="no column"):
        read(body, delimiter=",")


def test_r02_a_line_may_be_as_long_as_an_event() -> None:
    assert LONGEST == {
        "learner": 200, "username": 1000, "email": 320, "first_name": 1000, "last_name": 1000, "locale": 35,
        "time_zone": 64,
    }  # fmt: skip
