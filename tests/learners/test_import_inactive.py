"""Whom a file calls inactive, however oddly it says so, never ends as active (R2)."""

from pathlib import Path

import pytest

from tests.commands.test_output import Rollcall, rollcall
from tests.learners.test_import_elsewhere import given, standings
from tests.world import World

__all__ = ["rollcall"]  # a fixture


@pytest.mark.parametrize(
    ("control", "standing"),
    [
        ("512.0", "active"), ("66048,0", "active"), ("514", "inactive"), ("514.0", "inactive"), ("514,00", "inactive"),
        ("66050.0", "inactive"), ("546.0", "inactive"), ("5,14E+02", None), ("5.14e2", None), ("0x202", None),
        ("51.4", None),
    ],
)  # fmt: skip
def test_r02_a_control_of_active_directory_may_be_a_decimal_number(
    world: World, rollcall: Rollcall, tmp_path: Path, control: str, standing: str | None
) -> None:
    given(rollcall, tmp_path, f"id;login;userAccountControl\nA;a;{control}\n".encode())

    assert standings(world).get("A") == standing


@pytest.mark.parametrize(
    ("column", "cell", "standing"),
    [
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
    ],
)  # fmt: skip
def test_r02_no_word_means_active_in_a_column_that_says_inactive(
    world: World, rollcall: Rollcall, tmp_path: Path, column: str, cell: str, standing: str | None
) -> None:
    given(rollcall, tmp_path, f"id,login,{column}\nA,a,{cell}\n".encode())

    assert standings(world).get("A") == standing


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
