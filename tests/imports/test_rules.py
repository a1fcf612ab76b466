"""What the columns of a file from elsewhere mean: R2."""

import re
from typing import Any

import pytest

from config.phrases import typed
from tasks.imports.rules import REFUSED_COLUMNS, Field, NotReadable, ReadingOptions, columns_of, field_named
from tasks.imports.statuses import Says, StatusColumn

HEADER = ["id", "username", "status"]


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("id", Field.LEARNER),
        ("User ID", Field.LEARNER),
        ("E-Mail", Field.EMAIL),
        ("Mail [work]", Field.EMAIL),
        ("Vor.name", None),
        ("suspended", Field.STATUS),
        ("status", Field.STATUS),
        ("shoe size", None),
        ("", None),
    ],
)
def test_r02_a_column_is_known_by_its_name(header: str, field: Field | None) -> None:
    assert field_named(header) == field


def test_r02_brackets_belong_to_a_name_if_they_are_all_of_it() -> None:
    assert field_named("(email)") is Field.EMAIL


def test_r02_a_column_that_may_be_a_field_does_not_say_who_is_inactive() -> None:
    found = columns_of(["id", "login (status)", "status"])

    assert found.places[Field.USERNAME] == 1
    assert [column.place for column in found.status] == [2]


def test_r02_of_several_columns_the_likeliest_is_meant_and_the_others_are_named() -> None:
    found = columns_of(["shoe size", "userPrincipalName", " mail ", "work email", "object id", "id number", "Status"])

    assert found.places == {Field.LEARNER: 4, Field.USERNAME: 1, Field.EMAIL: 2}
    assert found.status == (StatusColumn(6, "Status", Says.STATUS),)
    assert (found.unused, found.unused_places) == (("shoe size", "work email", "id number"), (0, 3, 5))
    assert not found.ours


def test_r02_a_file_that_we_exported_or_refused_is_known() -> None:
    ours = columns_of(["organisation", "learner", "username", "learner status", "course"])
    again = columns_of([*REFUSED_COLUMNS, *HEADER])

    assert ours.ours
    assert columns_of(["organisation", "learner", "learner_status", "email"]).ours
    assert columns_of(
        ["organisation", "learner", "learner_status"], ReadingOptions(columns={Field.EMAIL: "organisation"})
    ).ours
    assert (again.places, again.unused) == ({Field.LEARNER: 3, Field.USERNAME: 4}, ())


def test_r02_what_a_person_says_of_a_column_holds() -> None:
    told = ReadingOptions(
        {Field.LEARNER: "Number", Field.FIRST_NAME: "status"},
        {"Gone": Says.INACTIVE, "suspended": Says.STATUS},
        ("id",),
    )

    found = columns_of(["id", "number", "username", "status", "gone", "Suspended"], told)

    assert found.places == {Field.LEARNER: 1, Field.USERNAME: 2, Field.FIRST_NAME: 3}
    assert found.status == (StatusColumn(4, "Gone", Says.INACTIVE), StatusColumn(5, "suspended", Says.INACTIVE))
    assert (found.unused, found.unused_places) == (("id",), ())


@pytest.mark.parametrize(
    ("name", "said", "how"),
    [
        ("suspended", Says.STATUS, Says.INACTIVE),  # they only said that it says so
        ("suspended", Says.ACTIVE, Says.ACTIVE),
        ("colour", Says.STATUS, Says.STATUS),
    ],
)
def test_r02_how_a_named_column_says_who_is_inactive(name: str, said: Says, how: Says) -> None:
    [column] = columns_of(["id", "username", name], ReadingOptions(says={name: said})).status

    assert column.says is how


def test_r02_a_column_of_the_very_name_comes_before_one_that_differs_in_case() -> None:
    header = ["id", "username", "status", "Code", "code"]

    assert columns_of(header, ReadingOptions({Field.LOCALE: " code "})).places[Field.LOCALE] == 4
    assert columns_of(header, ReadingOptions({Field.LOCALE: "Code"})).places[Field.LOCALE] == 3
    with pytest.raises(NotReadable, match="2 columns are called 'CODE': rename all but one of them"):
        columns_of(header, ReadingOptions({Field.LOCALE: "CODE"}))


@pytest.mark.parametrize(
    ("header", "told", "why"),
    [
        (["username", "status"], {}, "There is no column for the learner's id; the columns are 'username', 'status'."),
        (["id", "status"], {}, "There is no column for the username and none for the e-mail"),
        (["id", "username"], {}, "No column says who is inactive; the columns are 'id', 'username'."),
        (["id", "username", "auth"], {}, "No column says who is inactive"),
        (["a", "b"], {}, "the columns are 2, of which none has a name that we know."),
        (HEADER, {"columns": {Field.LOCALE: "tongue"}}, "There is no column 'tongue'"),
        ([*HEADER, "!"], {"columns": {Field.LOCALE: "?"}}, "There is no column '\\?'"),
        ([*HEADER, "ID"], {}, "'id', 'ID' could each be the column learner: say which with --map 'learner=COLUMN'"),
        (
            ["status", *"abcdefghijklm"],
            {},
            "'status', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k' and others\\. Say",
        ),
        (["status", *"abcdefghijk"], {}, "'j', 'k'\\. Say"),
        (["status", "", "x" * 61], {}, f"'status', '{'x' * 60}'\\. Say"),
    ],
)
def test_r02_a_file_that_cannot_be_understood_is_refused(header: list[str], told: dict[str, Any], why: str) -> None:
    with pytest.raises(NotReadable) as refused:
        columns_of(header, ReadingOptions(**told))

    assert re.search(why, typed(str(refused.value)))
    assert "--" not in str(refused.value), "that is for the command line to say"


@pytest.mark.parametrize(
    "told", [ReadingOptions(status=True), ReadingOptions(status=False), ReadingOptions(keep_status=True)]
)
def test_r02_a_person_may_say_it_for_all(told: ReadingOptions) -> None:
    assert columns_of(["id", "email"], told).status == ()


def test_r02_two_columns_of_the_same_name_that_are_not_the_likeliest_do_not_matter() -> None:
    assert columns_of([*HEADER, "employee id", "Employee ID"]).places[Field.LEARNER] == 0


def test_the_name_of_a_column_is_kept_short() -> None:
    assert columns_of([*HEADER, "x" * 201]).unused == ("x" * 200,)
