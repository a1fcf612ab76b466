"""Files as other systems and spreadsheets write them: who is inactive in them (R2, R3, R15)."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands.console import Rollcall, rollcall
from tests.world import World

__all__ = ["rollcall"]  # a fixture

FILES = Path(__file__).with_name("elsewhere")


def given(
    rollcall: Rollcall, tmp_path: Path, file: str | bytes, *options: str
) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
    """A file is imported: what is said of it, and of each learner who is refused why."""
    path = tmp_path / "given.csv"
    path.write_bytes((FILES / file).read_bytes() if isinstance(file, str) else file)
    result = rollcall("learners", "import", str(path), "-o", "acme", "--json", *options)
    said = json.loads(result.stdout or "{}") | {"problem": str(result.exception or "")}
    lines = {}
    if said.get("refused_file"):
        with Path(said["refused_file"]).open(newline="", encoding="utf-8-sig") as listed:
            for row in csv.DictReader(listed, delimiter=said["delimiter"]):
                lines[row["refused_line"]] = (row["refused_reason"], row["refused_detail"])
    return said, lines


def standings(world: World) -> dict[str, str]:
    return dict(world.rows("SELECT id, standing FROM learners"))


def names(world: World) -> dict[str, str]:
    return dict(world.rows("SELECT id, first_name || ' ' || last_name FROM learners"))


@pytest.mark.parametrize(
    ("file", "expected", "unused"),
    [
        (
            "moodle.csv",
            {"101": "active", "102": "inactive", "103": "inactive", "104": "active"},
            ["idnumber", "emailstop"],
        ),
        ("active.csv", {"T1": "active", "T2": "inactive"}, []),
    ],
)
def test_r02_who_is_inactive_is_known_in_the_columns_of_other_systems(
    world: World, rollcall: Rollcall, tmp_path: Path, file: str, expected: dict[str, str], unused: list[str]
) -> None:
    world.has_course("safety", "everyone")

    said, _ = given(rollcall, tmp_path, file)
    world.settle()

    assert standings(world) == expected
    assert said["unused"] == unused
    assert said["inactive"] == list(expected.values()).count("inactive")
    assert {id_ for id_ in expected if world.access(id_)} == {id_ for id_ in expected if expected[id_] == "active"}
    assert len(world.mail.recipients) == list(expected.values()).count("active") == said["notices"]


def test_r02_our_own_archived_export_is_read_as_it_was_written(
    world: World, rollcall: Rollcall, tmp_path: Path
) -> None:
    said, _ = given(rollcall, tmp_path, "rollcall-archived.csv")

    assert standings(world) == {"-7": "inactive", "X2": "inactive"}
    assert world.list("SELECT username FROM learners ORDER BY username") == ["-minus", "x2"]
    assert "course" in said["unused"]


def test_r02_an_address_is_found_under_another_name(world: World, rollcall: Rollcall, tmp_path: Path) -> None:
    given(rollcall, tmp_path, "work-email.csv")

    assert world.list("SELECT email FROM learners") == ["w1@example.org"]


@pytest.mark.parametrize("file", ["mixed.csv", "with-bom.csv"])
def test_r02_one_line_in_another_encoding_stops_no_other(
    world: World, rollcall: Rollcall, tmp_path: Path, file: str
) -> None:
    said, lines = given(rollcall, tmp_path, file)

    assert said["encoding"] == "utf-8"
    assert names(world) == {"K1": "Zoë Núñez", "K2": "Jürgen Müller", "K3": "José Straße"}
    assert standings(world)["K3"] == "inactive"
    assert lines == {"5": ("unreadable characters", "not written in utf-8")}
    assert said["sample"] == ["Zoë Núñez", "Jürgen Müller", "José Straße"]


def test_r02_a_file_cut_off_inside_a_character_loses_its_last_line_alone(
    world: World, rollcall: Rollcall, tmp_path: Path
) -> None:
    _, lines = given(rollcall, tmp_path, "cut-off.csv")

    assert names(world) == {"T1": "Zoë Núñez", "T2": "Jürgen Müller", "T3": "José Straße"}
    assert lines.keys() == {"5"}


def test_r02_a_letter_that_windows_1252_lacks_does_not_refuse_the_file(
    world: World, rollcall: Rollcall, tmp_path: Path
) -> None:
    _, lines = given(rollcall, tmp_path, "with-polish.csv")

    assert names(world) == {"L1": "Zoë Núñez", "L2": "Jürgen Müller", "L3": "Łukasz Żak"}
    assert lines.keys() == {"5"}


@pytest.mark.parametrize(
    ("file", "encoding", "expected"),
    [
        ("cp1250.csv", "cp1250", ["Łucja Żółć", "Miłosz Święty"]),
        ("cp1251.csv", "cp1251", ["Иван Петров"]),
        ("mac.csv", "mac_roman", ["Jürgen Müller", "René Dupré"]),
        ("sjis.csv", "cp932", ["太郎 山田"]),
        ("gbk.csv", "gb18030", ["小明 王"]),
    ],
)
def test_r02_an_encoding_is_found_by_evidence_and_said_with_names_as_read(
    world: World, rollcall: Rollcall, tmp_path: Path, file: str, encoding: str, expected: list[str]
) -> None:
    said, _ = given(rollcall, tmp_path, file, "--dry-run")

    assert (said["encoding"], said["sample"]) == (encoding, expected)


@pytest.mark.parametrize(
    ("file", "told", "expected"),
    [
        ("oneroster.csv", (), "o1 active o2 inactive o3 inactive o4 inactive"),
        ("canvas.csv", (), "c1 active c2 inactive c3 inactive"),
        ("entra.csv", (), "E1 active E2 inactive"),
        ("okta.csv", (), "k0 active k1 active k2 active k3 active k4 active k5 active k6 inactive k7 inactive"),
        ("talentlms.csv", (), "1 active 2 inactive 3 inactive 4 active"),
        ("totara.csv", (), "1 active 2 inactive 3 inactive 4 inactive"),
        ("google.csv", (), "G1 active G2 inactive"),
        ("hr.csv", ("--map-status", "contractor=active"), "1 active 2 inactive 3 inactive 4 inactive 5 active"),
        ("active-directory.csv", (), "w1 active w2 inactive w3 inactive"),
        (b"id;login;Actief\n1;a;Ja\n2;b;Nee\n", (), "1 active 2 inactive"),
        (b"id;login;Actif\n1;a;Oui\n2;b;Non\n", (), "1 active 2 inactive"),
        (b"id;login;Aktiv\n1;a;Ja\n2;b;Nein\n", (), "1 active 2 inactive"),
        (b"id;login;Geblokkeerd (ja/nee)\n1;a;nee\n2;b;JA\n3;c;\n", (), "1 active 2 inactive 3 active"),
        ("id,login,Statut\n1,a,Actif\n2,b,Suspendu\n3,c,Désactivée\n".encode(), (), "1 active 2 inactive 3 inactive"),
        (b"id,login,Toestand\n1,a,Actief\n2,b,Geschorst\n", ("--map", "status=toestand"), "1 active 2 inactive"),
        (b"id,login,Zugang\n1,a,1\n2,b,0\n", ("--map", "active=Zugang"), "1 active 2 inactive"),
        (
            b"id,login,Status\n1,a,1\n2,b,0\n",
            ("--map-status", "1=active", "--map-status", "0=inactive"),
            "1 active 2 inactive",
        ),
        (b"id,login,Status\n1,a,\n2,b,Suspended\n", ("--status", "active"), "1 active 2 inactive"),
        (b"id,login,User is active\n1,a,yes\n2,b,no\n", (), "1 active 2 inactive"),
        (b"id,login,Zugang weg\n1,a,nein\n2,b,ja\n", ("--map", "deleted=Zugang weg"), "1 active 2 inactive"),
        (b"id,login,Suspended\n1,a,0\n2,b,1\n", ("--map", "status=Suspended"), "1 active 2 inactive"),
        (b"id,login\n1,a\n", ("--status", "inactive"), "1 inactive"),
    ],
)
def test_r02_whom_a_column_calls_inactive_comes_in_as_inactive(
    world: World, rollcall: Rollcall, tmp_path: Path, file: str | bytes, told: tuple[str, ...], expected: str
) -> None:
    said, lines = given(rollcall, tmp_path, file, *told)

    assert lines == {}, said
    words = expected.split()
    assert standings(world) == dict(zip(words[::2], words[1::2], strict=True))


def test_r02_canvas_logs_people_in_by_login_id(world: World, rollcall: Rollcall, tmp_path: Path) -> None:
    said, _ = given(rollcall, tmp_path, b"user_id,login_id,full_name,status\nu1,one,A B,active\n")

    assert world.rows("SELECT id, username FROM learners") == [("u1", "one")]
    assert (said["columns"], said["unused"]) == ({"learner": "user_id", "username": "login_id"}, ["full_name"])


@pytest.mark.parametrize(
    ("text", "told", "why"),
    [
        (
            "id,login,department\n1,a,x\n",
            (),
            "No column says who is inactive; the columns are 'id', 'login', 'department'",
        ),
        ("id,login,auth\n1,a,manual\n", (), "No column says who is inactive"),
        ("id,login,status,State\n1,a,active,Suspended\n", (), "The column 'State' has 'Suspended' on line 2"),
        ("id,login,State\n1,a,SUSPENDED\n", ("--status", "active"), "--ignore 'State' if it does not"),
    ],
)
def test_r02_a_file_in_which_nothing_says_who_is_inactive_is_refused(
    world: World, rollcall: Rollcall, tmp_path: Path, text: str, told: tuple[str, ...], why: str
) -> None:
    said, _ = given(rollcall, tmp_path, text.encode(), *told)

    assert why in said["problem"]
    assert standings(world) == {}
    last = text.partition("\n")[0].rpartition(",")[2]
    assert given(rollcall, tmp_path, text.encode(), "--status", "active", "--ignore", last)[0]["new"] == 1


def test_r02_a_file_that_says_no_status_may_leave_it_as_it_is(world: World, rollcall: Rollcall, tmp_path: Path) -> None:
    world.has_learners("A", status="inactive")

    said, _ = given(rollcall, tmp_path, b"id,email\nA,new@acme.example\n", "--status", "keep")

    assert world.rows("SELECT standing, email FROM learners") == [("inactive", "new@acme.example")]
    assert said["status_columns"] == []


def test_r02_nobody_whom_any_line_calls_inactive_ends_as_active(
    world: World, rollcall: Rollcall, tmp_path: Path
) -> None:
    said, lines = given(rollcall, tmp_path, "two-exports-in-one.csv")

    assert standings(world) == {"c1": "inactive"}
    assert lines == {"3": ("repeated id", "as on line 2")}
    assert said["cleaned"] == {"learner": 1}


def test_r02_two_exports_in_quotation_marks_may_be_joined(world: World, rollcall: Rollcall, tmp_path: Path) -> None:
    one = '\ufeff"id","login","status"\n"A","a","Active"\n"B","b","Active"\n'
    other = '\ufeff"id","login","status"\n\ufeff"A","a","Suspended"\n'

    _, lines = given(rollcall, tmp_path, (one + other).encode())

    assert standings(world) == {"A": "inactive", "B": "active"}
    assert [reason for reason, _ in lines.values()] == ["repeated id"]


def test_r02_of_a_refused_line_it_is_taken_that_a_known_learner_is_inactive(
    world: World, rollcall: Rollcall, tmp_path: Path
) -> None:
    world.has_learners("A", "B", "C", "D", "E")
    world.has_learners("F", status="inactive")
    text = (
        "id,login,email,first name,status\nA,a,no address,A,Suspended\nB,b,,Ren\xe9,Suspended\nC,c,,C,Active\n"
        "D,,,D,Inactive\nC,c,no address,C,Suspended\nF,f,no address,F,Active\nG,g,no address,G,Suspended\n"
        "D,,,D,Inactive\n"
    ).encode("latin-1") + "H,h,,Zoë,Active\nI,i,,Zoé,Active\n".encode()

    said, lines = given(rollcall, tmp_path, text)

    assert {line: reason for line, (reason, _) in lines.items()} == {
        "2": "bad e-mail", "3": "unreadable characters", "5": "neither username nor e-mail", "6": "bad e-mail",
        "7": "bad e-mail", "8": "bad e-mail", "9": "neither username nor e-mail",
    }  # fmt: skip
    assert standings(world) == {
        "A": "inactive", "B": "inactive", "C": "inactive", "D": "inactive", "E": "active", "F": "inactive",
        "H": "active", "I": "active",
    }  # fmt: skip
    assert (said["deactivated"], said["deactivated_by_refused"]) == (4, 3)
    assert said["read"] == said["new"] + said["changed"] + said["unchanged"] + sum(said["refused"].values())
    assert world.rows("SELECT username, first_name FROM learners WHERE id = 'A'") == [("user-A", "FirstA")]


def test_r02_characters_that_nobody_sees_are_taken_off_or_refused_by_column(
    world: World, rollcall: Rollcall, tmp_path: Path
) -> None:
    said, lines = given(rollcall, tmp_path, "invis.csv")

    bad = standings(world).keys() ^ {f"V{n}" for n in range(1, 30)}
    assert bad == {f"V{n}" for n in (3, 7, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 27, 29)}
    assert {reason for reason, _ in lines.values()} == {"bad e-mail"}
    assert world.rows("SELECT id, email FROM learners WHERE id IN ('V1', 'V2', 'V4', 'V5', 'V6') ORDER BY id") == [
        ("V1", "zero.width@example.org"), ("V2", "lrm@example.org"), ("V4", "nbsp@example.org"),
        ("V5", "v5@example.org"), ("V6", "v6@example.org"),
    ]  # fmt: skip
    assert {id_ for id_, standing in standings(world).items() if standing == "inactive"} == {
        f"V{n}" for n in (8, 9, 10, 11, 12)
    }
    assert said["cleaned"] == {"email": 2, "learner": 2}


def test_r02_an_id_with_an_invisible_character_inside_is_refused_and_a_name_cleaned(
    world: World, rollcall: Rollcall, tmp_path: Path
) -> None:
    text = (
        "id,log\u00adin,first name,status\u200b\nA\u200bB,a,A,new\nC\u00a0D,c,C,new\nE,e\u2060f,E,new\n"
        "G,g,Jo\u00adsé\u200e,new\nH,h,می\u200cخواهم,new\n"
    )

    said, lines = given(rollcall, tmp_path, text.encode())

    assert lines == {
        "2": ("invisible characters", "learner: U+200B (zero width space)"),
        "3": ("invisible characters", "learner: U+00A0 (no-break space)"),
        "4": ("invisible characters", "username: U+2060 (word joiner)"),
    }
    assert world.rows("SELECT id, first_name FROM learners ORDER BY id") == [("G", "José"), ("H", "می\u200cخواهم")]
    assert said["cleaned"] == {"first_name": 1}


def test_r02_what_a_spreadsheet_has_made_a_number_is_refused(world: World, rollcall: Rollcall, tmp_path: Path) -> None:
    _, lines = given(rollcall, tmp_path, "sci.csv")

    assert lines == {
        "2": ("changed by a spreadsheet", "learner: 1,23E+05"), "3": ("changed by a spreadsheet", "learner: 1,23E+05"),
        "4": ("changed by a spreadsheet", "learner: 9,91214E+15"),
    }  # fmt: skip
    assert standings(world) == {"0012": "active", "12": "active"}


def test_r02_what_a_spreadsheet_keeps_as_text_is_read_as_meant(
    world: World, rollcall: Rollcall, tmp_path: Path
) -> None:
    given(rollcall, tmp_path, "eqquote.csv")
    _, lines = given(
        rollcall,
        tmp_path,
        b"id,login,email,status\n101.0,a,,new\n#NAME?,b,,new\n1E5,c,,new\n'-x,d,,'=new\n7,1.5E-03,,new\n",
    )

    assert standings(world).keys() == {"00123", "00124", "00125", "1E5"}
    assert [reason for reason, _ in lines.values()] == [
        "changed by a spreadsheet", "changed by a spreadsheet", "unknown status", "changed by a spreadsheet",
    ]  # fmt: skip


def test_r02_our_own_export_read_back_gives_the_same_learners(world: World, rollcall: Rollcall, tmp_path: Path) -> None:
    ids = ["-7", "'-8", "=1+1", "'9", "@a", "+b", "a;=c", '="007"', "00123", "1E5", "'", "ünï", "a,b", 'q"q']
    world.has_learners(*ids, email=None)
    world.has_learners("plain")
    world.has_learners("-away", status="inactive")
    for course in ("safety", "hygiene"):
        world.has_course(course, "everyone")
    world.settle()
    known = world.rows("SELECT id, username, email, standing FROM learners ORDER BY learner")

    for tab, unchanged in (("active", 2 * (len(ids) + 1)), ("archived", 2)):
        exported = rollcall("reports", "training", "-o", "acme", "--tab", tab, "--format", "csv").stdout
        said, lines = given(rollcall, tmp_path, exported.encode())
        assert (said["new"], said["changed"], said["unchanged"], lines) == (0, 0, unchanged, {})

    assert world.rows("SELECT id, username, email, standing FROM learners ORDER BY learner") == known


def test_r02_empty_cells_that_would_empty_what_is_known_are_counted_before(
    world: World, rollcall: Rollcall, tmp_path: Path
) -> None:
    world.has_learners("101")

    said, _ = given(rollcall, tmp_path, "blank.csv", "--dry-run")
    kept, _ = given(rollcall, tmp_path, "blank.csv", "--keep-empty")

    assert said["emptied"] == {"email": 1, "first_name": 1, "last_name": 1}
    assert kept["emptied"] == {}
    assert world.rows("SELECT username, email, first_name, last_name FROM learners") == [
        ("ann", "101@acme.example", "First101", "Last101")
    ]
    assert given(rollcall, tmp_path, b"id,login,email,status\n101,,,new\n", "--keep-empty")[1] == {}
    assert given(rollcall, tmp_path, "blank.csv")[0]["emptied"] == {"email": 1, "first_name": 1, "last_name": 1}
    assert world.rows("SELECT username, email, first_name, last_name FROM learners") == [("ann", None, None, None)]


def test_r02_a_time_zone_that_is_none_is_named_and_not_taken(world: World, rollcall: Rollcall, tmp_path: Path) -> None:
    world.has_learners("102", "103")

    said, _ = given(rollcall, tmp_path, "moodle.csv")

    assert said["unknown_time_zones"] == {"+5.5": 1, "99": 1}
    assert dict(world.rows("SELECT id, time_zone FROM learners")) == {
        "101": "Europe/Brussels", "102": "Europe/Amsterdam", "103": "Europe/Amsterdam", "104": "America/Sao_Paulo",
    }  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1250"])
def test_r02_what_was_refused_is_corrected_and_given_again(
    world: World, rollcall: Rollcall, tmp_path: Path, encoding: str
) -> None:
    text = (
        "Id;Login;E-mail;First name;Reason;Status\n1;a;a@acme.example;Łucja;x;Active\n"
        '2;=b;b@acme..example;Żółć;\'-y;Active\n3;c;c@acme.example;"A;B";z;Sleeping\n4;d\n5;e;;Święta;;Suspended\n'
        '6;f;f@acme.example;"open;x;Active\n'
    )
    path = tmp_path / "given.csv"
    path.write_bytes(text.encode(encoding))
    rollcall("learners", "import", str(path), "-o", "acme")
    listed = path.with_name("given.refused.csv")

    again = rollcall("learners", "import", str(listed), "-o", "acme", "--refused", str(path), "--json")
    assert json.loads(again.stdout)["refused"] == {
        "bad e-mail": 1, "unknown status": 1, "wrong number of cells": 2,
    }  # fmt: skip
    assert json.loads(again.stdout)["unused"] == ["Reason"]
    corrected = path.read_text("utf-8-sig").replace("b@acme..example", "b@acme.example").replace("Sleeping", "Active")
    listed.write_text(corrected, "utf-8")
    rollcall("learners", "import", str(listed), "-o", "acme")

    assert world.rows("SELECT id, username, first_name, standing FROM learners ORDER BY id") == [
        ("1", "a", "Łucja", "active"), ("2", "=b", "Żółć", "active"), ("3", "c", "A;B", "active"),
        ("5", "e", "Święta", "inactive"),
    ]  # fmt: skip


def test_r15_a_dry_run_says_how_many_are_told_and_so_many_are(world: World, rollcall: Rollcall, tmp_path: Path) -> None:
    world.has_segment("nurses", "seg", "away")
    world.has_course("manual")
    world.has_course("held", "everyone", on_hold=True)
    text = "id,login,email,status\n" + "".join(
        f"{id_},{id_},{email},{status}\n"
        for id_, email, status in (
            ("seg", "seg@acme.example", "Active"), ("away", "away@acme.example", "Suspended"), ("none", "", "Active"),
            ("out", "out@acme.example", "Active"), ("bounced", "Bounced@acme.example", "Active"),
        )
    )  # fmt: skip
    world.has_course("hygiene", "segments", segments=["nurses"])
    rollcall("suppressions", "add", "bounced@acme.example", "-o", "acme", "--why", "test")

    by_segment, _ = given(rollcall, tmp_path, text.encode(), "--dry-run")
    world.has_course("safety", "everyone")
    by_everyone, _ = given(rollcall, tmp_path, text.encode(), "--dry-run")
    silent, _ = given(rollcall, tmp_path, text.encode(), "--dry-run", "--no-notices")
    done, _ = given(rollcall, tmp_path, text.encode())
    world.settle()

    assert [said["notices"] for said in (by_segment, by_everyone, silent, done)] == [1, 2, 0, 2]
    assert sorted(world.mail.recipients) == ["out@acme.example", "seg@acme.example"]
    assert given(rollcall, tmp_path, text.encode(), "--dry-run")[0]["notices"] == 0


def test_r15_digests_of_those_who_return_are_counted_with_the_notices(
    world: World, rollcall: Rollcall, tmp_path: Path
) -> None:
    world.has_learners("A", "B", status="inactive")
    world.has_course("safety", "everyone")
    world.settle()
    file = b"id,login,email,status\nA,a,a@acme.example,Active\n"

    none, _ = given(rollcall, tmp_path, file, "--dry-run")
    world.has_organisation(reactivation_digest=True)
    one, _ = given(rollcall, tmp_path, file, "--dry-run", "--no-notices")
    said, _ = given(rollcall, tmp_path, file + b"B,b,,Active\n")
    world.settle()

    assert [each["notices"] for each in (none, one, said)] == [0, 1, 1]
    assert "a@acme.example" in world.mail.recipients


def test_r15_an_import_that_mails_many_is_refused_unless_a_person_says_yes(
    world: World, rollcall: Rollcall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.imports.UNASKED", 2)
    world.has_course("safety", "everyone")
    text = ("id,email,status\n" + "".join(f"{n},{n}@acme.example,new\n" for n in range(3))).encode()

    refused, _ = given(rollcall, tmp_path, text)

    assert refused["problem"] == (
        "Nothing was imported: 3 learners would be told by mail of their courses."
        " Say --yes if they are to be, or --no-notices."
    )
    assert standings(world) == {}
    assert given(rollcall, tmp_path, text, "--dry-run")[0]["notices"] == 3
    assert given(rollcall, tmp_path, text, "--yes")[0]["new"] == 3


def test_r02_a_line_that_is_utf_8_is_refused_where_the_encoding_is_a_guess_and_it_can_be_said(
    world: World, rollcall: Rollcall, tmp_path: Path
) -> None:
    lines = [f"{n},{n},{name},new\n" for n, name in enumerate(["René", "Hélène", "François", "Zoë"])]
    text = b"id,login,first name,status\n" + "".join(lines[:3]).encode("cp1252") + lines[3].encode()

    said, refused = given(rollcall, tmp_path, text, "--dry-run")
    told, _ = given(rollcall, tmp_path, text, "--encoding", "utf-8")

    assert (said["encoding"], said["encoding_guessed"]) == ("cp1252", True)
    assert refused == {"5": ("unreadable characters", "written in utf-8, not in cp1252")}
    assert told["refused"] == {"unreadable characters": 3}
    assert world.list("SELECT first_name FROM learners") == ["Zoë"]


def test_r02_an_import_tells_a_person_what_was_used_and_what_was_not(
    world: World, rollcall: Rollcall, tmp_path: Path
) -> None:
    path = tmp_path / "moodle.csv"
    path.write_bytes((FILES / "moodle.csv").read_bytes().replace(b"Ann", "Zoë".encode()))
    world.has_course("safety", "everyone")

    text = rollcall("learners", "import", str(path), "-o", "acme", "--dry-run").stdout

    assert "2 learners would be told by mail of their courses." in text
    assert "Read as utf-8; names are read as Zoë One." in text
    assert "Who is inactive is said by: suspended, deleted." in text
    assert "Not used: idnumber, emailstop." in text
    assert "Not a time zone, not taken: 1 +5.5, 1 99." in text


@pytest.mark.parametrize(("answer", "standing"), [("y\n", {"1": "active"}), ("n\n", {})])
def test_r15_a_person_at_a_terminal_is_asked_before_many_are_mailed(
    world: World, rollcall: Rollcall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, standing: object
) -> None:
    monkeypatch.setattr("tasks.imports.UNASKED", 0)
    monkeypatch.setattr("workers.commands.imports.at_a_terminal", lambda: True)
    world.has_course("safety", "everyone")
    path = tmp_path / "given.csv"
    path.write_text("id,email,status\n1,1@acme.example,new\n")

    result = rollcall("learners", "import", str(path), "-o", "acme", stdin=answer)

    assert "1 learner would be told by mail of their courses. Import the file?" in result.stderr
    assert standings(world) == standing
