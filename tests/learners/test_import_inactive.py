"""Whom a file calls inactive, however oddly it says so, never ends as active (R2)."""

import io
from pathlib import Path

import pytest

from tasks.imports import NotReadable, ReadingOptions, batches, layout_of
from tests.commands.console import Rollcall, rollcall
from tests.learners.test_import_elsewhere import given, standings
from tests.world import World

__all__ = ["rollcall"]  # a fixture


def table(cells: list[tuple[str, str]]) -> bytes:
    """A file with a learner for each of these cells, and all else empty, but for a column `Active`."""
    columns = list(dict(cells))
    lines = [",".join(["id", "login", *columns])]
    for column, cell in cells:
        others = ["Yes" if each == "Active" else "" for each in columns]
        others[columns.index(column)] = cell
        lines.append(",".join([f"{column} {cell}", "x", *others]))
    return "\n".join(lines).encode()


CONTROLS = [
    ("512.0", "active"), ("66048,0", "active"), ("514", "inactive"), ("514.0", "inactive"), ("514,00", "inactive"),
    ("66050.0", "inactive"), ("546.0", "inactive"), ("5,14E+02", None), ("5.14e2", None), ("0x202", None),
    ("51.4", None),
]  # fmt: skip


def test_r02_a_control_of_active_directory_may_be_a_decimal_number(
    world: World, rollcall: Rollcall, tmp_path: Path
) -> None:
    lines = "".join(f"id {control};a;{control}\n" for control, _ in CONTROLS)

    given(rollcall, tmp_path, f"id;login;userAccountControl\n{lines}".encode())

    assert standings(world) == {f"id {control}": standing for control, standing in CONTROLS if standing}


WORDS = [
    ("Suspension status", "Active", None), ("Suspension status", "Expired", None),
    ("Leave of absence", "Full time", None), ("Leave of absence", "Part time", None),
    ("Leave of absence", "Active", None), ("Leave of absence", "Pending", None),
    ("Leave of absence", "None", "active"), ("Leave of absence", "Parental leave", "inactive"),
    ("Block sign-in", "Enabled", None), ("Block sign-in", "Disabled", None),
    ("Block sign-in", "Blocked", "inactive"),
    ("Gesperrt", "Aktiv", None), ("Locked", "locked out", "inactive"), ("Suspended", "Suspended by HR", "inactive"),
    ("Account disabled", "Disabled", "inactive"), ("Account disabled", "Enabled", None),
    ("Disabled", "0.0", "active"),
    ("Deactivated", "Deactivated", "inactive"), ("Account disabled", "Inactive", "inactive"),
]  # fmt: skip


def test_r02_no_word_means_active_in_a_column_that_says_inactive(
    world: World, rollcall: Rollcall, tmp_path: Path
) -> None:
    given(rollcall, tmp_path, table([(column, cell) for column, cell, _ in WORDS]))

    assert standings(world) == {f"{column} {cell}": standing for column, cell, standing in WORDS if standing}


def test_r02_an_id_is_the_same_however_its_accents_are_composed(
    world: World, rollcall: Rollcall, tmp_path: Path
) -> None:
    text = "id,login,status\nZoe\u0301,zoe\u0301,Active\nJose\u0301,jos\u00e9,Active\nZo\u00e9,zo\u00e9,Suspended\n"

    given(rollcall, tmp_path, text.encode())

    assert standings(world) == {"Zo\u00e9": "inactive", "Jos\u00e9": "active"}
    assert set(world.list("SELECT username FROM learners")) == {"zo\u00e9", "jos\u00e9"}


@pytest.mark.parametrize(
    "text",
    [
        "id,username,email,active\na,ua,a@ex.org,1\nid,username,email,suspended\nz,uz,z@ex.org,1\n",
        "id,username,email,active\na,ua,a@ex.org,1\n\ufeffid,username,email,suspended\nz,uz,z@ex.org,1\n",
        'id,username,email,active\na,ua,a@ex.org,1\n\ufeff"ID","User name","E-mail","Suspended"\n"z",z,z@ex.org,1\n',
        "id,username,enabled,suspended\na,ua,1,0\nid,username,suspended,enabled\nz,uz,1,0\n",
        "id,username,active\na,ua,1\nid,username,active,department,team\nz,uz,1,x,y\n",
        "id,username,email,active\na,ua,a@ex.org,1\nusername,id,email,suspended\nuz,z,z@ex.org,1\n",
    ],
)
def test_r02_a_second_header_with_other_columns_stops_the_file(
    world: World, rollcall: Rollcall, tmp_path: Path, text: str
) -> None:
    said, _ = given(rollcall, tmp_path, text.encode())

    assert "Line 3 is a header with other columns" in said["problem"]
    assert "z" not in said["problem"].partition("Line 3")[2].split()
    assert standings(world) == {}


def test_r02_a_header_behind_a_last_line_that_has_no_end_stops_the_file(
    world: World, rollcall: Rollcall, tmp_path: Path
) -> None:
    text = "id,username,email,active\na,ua,a@ex.org,1id,username,email,suspended\nz,uz,z@ex.org,1\n"

    said, _ = given(rollcall, tmp_path, text.encode())

    assert "Line 2 is a header with other columns" in said["problem"]
    assert standings(world) == {}


def test_r02_the_same_header_again_is_nobody(world: World, rollcall: Rollcall, tmp_path: Path) -> None:
    text = "id,username,active\na,ua,1\n\ufeffID,User name,Active\nlearner,login,1\nz,user,0\n"

    said, _ = given(rollcall, tmp_path, text.encode())

    assert standings(world) == {"a": "active", "learner": "active", "z": "inactive"}
    assert (said["read"], said["refused"]) == (3, {})


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("Account", "Suspended "), ("State", "suspended."), ("HR State", "TERMINATED "), ("Lifecycle", "Leaver"),
        ("Note", "Suspended by admin"), ("Note", "suspended (HR)"), ("Note", "Sus\u00adpended"), ("Note", "SusPended"),
        ("Note", '"on\tleave, until May"'), ("Note", "Gesperrt!"), ("Note", "long--term_leave"), ("Note", "'Inactive'"),
        ("Nota", "Suspendu(e)"),
        ("Reason suspended", "by HR"), ("Suspension reason", "HR"), ("Removed by", "admin"), ("Is not deleted", "1"),
    ],
)  # fmt: skip
def test_r02_a_column_that_is_not_used_and_seems_to_call_somebody_inactive_is_asked_about(
    column: str, cell: str
) -> None:
    file = io.BytesIO(f"id,login,active,{column}\nA,a,1,\nB,b,1,{cell}\n".encode())

    with pytest.raises(NotReadable, match=f"The column '{column}' has .* on line 3 and is not used"):
        list(batches(file, layout_of(file)))

    assert len(next(batches(file, layout_of(file, ReadingOptions(ignored=[column])))).read) == 2


@pytest.mark.parametrize("column", ["Reason of removal", "Deleted by", "Suspension reason"])
def test_r02_a_column_that_is_not_used_may_be_empty_whatever_it_is_called(column: str) -> None:
    file = io.BytesIO(f"id,login,active,{column}\nA,a,1,\nB,b,1,no\nC,c,1,N/A\n".encode())

    assert len(next(batches(file, layout_of(file))).read) == 3


NAMES = [
    ("Not active", "1"), ("Suspended/Deleted", "1"), ("Deprovisioned", "true"), ("Removed", "1"), ("Left", "Yes"),
    ("Dismissed", "1"), ("Quit", "yes"), ("Soft deleted", "1"), ("Account expired", "Yes"), ("Has left", "1"),
    ("Disable login", "Yes"), ("Resigned", "1"), ("No longer employed", "true"), ("loginDisabled", "TRUE"),
    ("Terminated Date", "2020-01-31"), ("Date terminated", "31/01/2020"), ("Inactive since", "2020-01-31"),
    ("Inactive Date", "2020-01-31"), ("Suspended since", "2020-01-31"), ("End date", "2020-01-31"),
    ("Last working day", "2020-01-31"), ("Contract end date", "2020-01-31"), ("Date of leaving", "2020-01-31"),
    ("Inactive from", "2020-01-31"),
]  # fmt: skip


def test_r02_a_column_whose_name_says_inactive_is_used(world: World, rollcall: Rollcall, tmp_path: Path) -> None:
    given(rollcall, tmp_path, table([("Active", "Yes"), *NAMES]))

    assert standings(world) == {f"{column} {cell}": "inactive" for column, cell in NAMES} | {"Active Yes": "active"}


def test_r02_a_line_of_a_wrong_form_makes_a_known_learner_inactive_or_is_counted(
    world: World, rollcall: Rollcall, tmp_path: Path
) -> None:
    world.has_learners("A", "B", "C", "D", "E")
    text = (
        "id,login,last name,status\nA,a,One, the first,Suspended\nB,b,Active\n"
        'C,c,"Th"ree,Suspended\nD,d,Four, the last,Sleeping\nE,e,Five,Active\nF,f,x,y,Suspended\n'
    )

    said, _ = given(rollcall, tmp_path, text.encode())

    assert standings(world) == {"A": "inactive", "B": "active", "C": "inactive", "D": "active", "E": "active"}
    assert (said["deactivated_by_refused"], said["known_unread"]) == (2, 2)
