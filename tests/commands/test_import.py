"""`rollcall learners import`, and the status of many learners by one file: R1, R2."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tasks.acts import learners as learner_acts
from tests.commands.console import Rollcall, printed, refused, rollcall
from tests.world import World

__all__ = ["refused", "rollcall"]  # fixtures

FILE = (
    "Benutzer-ID;Anmeldename;E-Mail;Vorname;Nachname;Sprache;Status\r\n"
    "L1;l1;l1@acme.example;Jürgen;Müller;de; suspended \r\n"
    'L2;l2;l2@acme.example;Ann;"O;Neill";en;Active\r\n'
    "L3;l3;;Cy;Young;en;Active\r\n"
)
MAPS = ("--map", "learner=Benutzer-ID", "--map", "login=Anmeldename")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An export as a German Excel writes it."""
    path = tmp_path / "learners.csv"
    path.write_bytes(FILE.encode("utf-8-sig"))
    return path


def test_r02_an_import_says_exactly_what_was_taken(world: World, rollcall: Rollcall, file: Path) -> None:
    dry = printed(
        "learners-import",
        rollcall("learners", "import", str(file), "-o", "acme", *MAPS, "--dry-run", "--json"),
    )
    assert world.ask("SELECT count(*) FROM learners") == 0
    done = printed("learners-import", rollcall("learners", "import", str(file), "-o", "acme", *MAPS, "--json"))
    again = rollcall("learners", "import", str(file), "-o", "acme", *MAPS)

    assert dry == done | {"dry_run": True}
    assert done == {
        "organisation": "acme", "dry_run": False, "read": 3, "new": 3, "changed": 0, "unchanged": 0, "inactive": 1,
        "activated": 0, "deactivated": 0, "deactivated_by_refused": 0, "known_unread": 0, "notices": 0,
        "encoding": "utf-8",
        "encoding_guessed": False, "delimiter": ";", "sample": [],
        "columns": {"learner": "Benutzer-ID", "username": "Anmeldename", "email": "E-Mail"},
        "status_columns": ["Status"], "unused": ["Vorname", "Nachname", "Sprache"], "cleaned": {}, "emptied": {},
        "unknown_time_zones": {}, "unknown_statuses": {}, "refused": {}, "refused_file": None,
    }  # fmt: skip
    assert world.rows("SELECT id, last_name, locale, standing FROM learners ORDER BY id") == [
        ("L1", None, None, "inactive"),
        ("L2", None, None, "active"),
        ("L3", None, None, "active"),
    ]
    assert again.exit_code == 0
    assert "3 lines read: 3 taken, 0 refused." in again.stdout
    assert "0 learners are new, 0 changed, 3 as they were." in again.stdout


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8"])
def test_r02_standard_input_is_read_in_any_encoding(
    world: World, rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    text = FILE.replace("Benutzer-ID", "id").replace("Anmeldename", "login").replace("Vorname", "First Name")

    done = printed(
        "learners-import", rollcall("learners", "import", "-", "-o", "acme", "--json", stdin=text.encode(encoding))
    )

    assert done["new"] == 3
    assert world.list("SELECT first_name FROM learners ORDER BY id") == ["Jürgen", "Ann", "Cy"]


def test_r02_refused_lines_are_listed_and_the_others_taken(
    world: World, rollcall: Rollcall, file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file.write_text("id,login,status\nA,a,Active\nB,b,=Sleeping\nC\nA,a,Active\n")

    result = rollcall("learners", "import", str(file), "-o", "acme", "--json")

    listed = file.with_name("learners.refused.csv")
    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert str(result.exception) == f"3 lines were refused: {listed} says which and why."
    assert document["refused"] == {"repeated id": 1, "unknown status": 1, "wrong number of cells": 1}
    assert (document["read"], document["new"], document["refused_file"]) == (4, 1, str(listed))
    assert list(csv.reader(io.StringIO(listed.read_text()))) == [
        ["refused_line", "refused_reason", "refused_detail", "id", "login", "status"],
        ["3", "unknown status", "'=Sleeping", "B", "b", "'=Sleeping"],
        ["4", "wrong number of cells", "1 in place of 3", "C"],
        ["5", "repeated id", "as on line 2", "A", "a", "Active"],
    ]
    people = rollcall("learners", "import", str(file), "-o", "acme", "--refused", str(file.with_name("mine.csv")))
    assert "refused: 1 unknown status" in people.stdout
    assert file.with_name("mine.csv").exists()


@pytest.mark.parametrize(
    ("body", "options", "why"),
    [
        (b"", (), "Nothing was imported from {file}. The file is empty."),
        (b"Name;Mail\n", (), "Nothing was imported from {file}. There is no column for the learner's id;"),
        (b"id,login\nA,a\n", ("-o", "nobody"), "There is no organisation 'nobody'."),
        (
            b"id,login,status\nA,a,new\nB\n",
            ("--refused", "/dev/null/x"),
            "Nothing was imported: /dev/null/x: Not a directory.",
        ),
        (None, (), "{file} cannot be read: No such file or directory."),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_with_one_line(
    world: World, refused: Callable[..., str], file: Path, body: bytes | None, options: tuple[str, ...], why: str
) -> None:
    file.unlink() if body is None else file.write_bytes(body)

    line = refused("learners", "import", str(file), "-o", "acme", *options)

    assert line.startswith(why.format(file=file))
    assert world.ask("SELECT count(*) FROM learners") == 0


def test_r32_an_import_whose_database_is_lost_is_finished_by_the_same_file(
    world: World, rollcall: Rollcall, refused: Callable[..., str], file: Path
) -> None:
    world.execute(
        """
        CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
        """
    )
    world.execute("CREATE TRIGGER lose AFTER INSERT ON learners FOR EACH STATEMENT EXECUTE FUNCTION lose()")

    line = refused("learners", "import", str(file), "-o", "acme", *MAPS)

    assert line == f"The database was lost on the way: import {file} again, it goes on where it was."
    world.execute("DROP TRIGGER lose ON learners")
    assert rollcall("learners", "import", str(file), "-o", "acme", *MAPS).exit_code == 0
    assert len(ids_of(world, "active")) == 2


@pytest.mark.parametrize(
    "options",
    [
        ("--map", "colour=Id"),
        ("--map", "learner"),
        ("--map-status", "Terminated"),
        ("--map-status", "Terminated=gone"),
        ("--map-status", "Long-Term Leave=active"),
        ("--status", "sleeping"),
        ("--encoding", "klingon"),
        ("--encoding", "base64"),
        ("--delimiter", "::"),
        ("--refused", "{file}"),
    ],
)
def test_wrong_usage_of_an_import_exits_with_two(
    world: World, rollcall: Rollcall, file: Path, options: tuple[str, ...]
) -> None:
    given = [option.format(file=file) for option in options]

    assert rollcall("learners", "import", str(file), "-o", "acme", *MAPS, *given).exit_code == 2
    assert file.read_bytes() == FILE.encode("utf-8-sig")


def ids_of(world: World, standing: str) -> set[str]:
    return set(world.list("SELECT id FROM learners WHERE standing = CAST(:standing AS standing)", standing=standing))


def test_r01_a_file_of_ids_is_made_inactive_and_active_again(
    world: World, rollcall: Rollcall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learner_acts, "SLICE", 700)
    everyone = [f"L{n:04}" for n in range(2000)]
    csv_file = tmp_path / "all.csv"
    csv_file.write_text("id,login\n" + "".join(f"{id_},{id_}\n" for id_ in everyone))
    rollcall("learners", "import", str(csv_file), "-o", "acme", "--status", "active")
    world.has_course("safety", "everyone")
    (tmp_path / "some.txt").write_text("\n".join([*everyone[:1500], "", everyone[0]]))

    first = printed(
        "learners-deactivate",
        rollcall("learners", "deactivate", "--file", str(tmp_path / "some.txt"), "-o", "acme", "--json"),
    )
    counted = rollcall("learners", "deactivate", "-o", "acme", "--file", str(csv_file))
    back = rollcall("learners", "activate", "L0003", "-o", "acme", "--file", "-", stdin="L0001;x\nL0002;y\n")

    assert [(one["learner"], one["changed"]) for one in first] == [(id_, True) for id_ in everyone[:1500]]
    assert counted.stdout == "2000 learners are inactive: 500 by this, 1500 already were.\n"
    assert back.stdout == "3 learners are active: 3 by this, 0 already were.\n"
    assert ids_of(world, "active") == {"L0001", "L0002", "L0003"}
    world.settle()
    assert len(world.out("access.suspended")) == 2000
    assert [event["learner"] for event in world.out("access.activated")] == ["L0001", "L0002", "L0003"]


def test_unknown_ids_in_a_file_change_nothing_and_a_few_are_named(
    world: World, refused: Callable[..., str], tmp_path: Path
) -> None:
    world.has_learners("A")
    ids = tmp_path / "ids.txt"
    ids.write_text("A\n" + "".join(f"nobody{n}\n" for n in range(9)))

    line = refused("learners", "deactivate", "-o", "acme", "--file", str(ids))

    assert line == (
        "Nothing was changed: 'acme' has no learner 'nobody0', 'nobody1', 'nobody2', 'nobody3', 'nobody4' and 4 more."
    )
    assert ids_of(world, "active") == {"A"}


def test_r02_ids_in_a_file_are_read_as_those_of_an_import(
    world: World, rollcall: Rollcall, refused: Callable[..., str], tmp_path: Path
) -> None:
    world.has_learners("00125", "B", "C")
    ids = tmp_path / "ids.csv"
    ids.write_bytes('\ufeffid\n\'00125\n\ufeffB\n="C"\n'.encode())
    broken = tmp_path / "broken.csv"
    broken.write_text('id,note\n00125,"two\nlines"\n9.91214E+15,\n')

    done = rollcall("learners", "deactivate", "-o", "acme", "--file", str(ids))

    assert (done.exit_code, ids_of(world, "inactive")) == (0, {"00125", "B", "C"})
    line = refused("learners", "activate", "-o", "acme", "--file", str(broken))
    assert line == f"{broken}: Line 4 has no id that can be read: changed by a spreadsheet, learner: 9.91214E+15."
    assert ids_of(world, "active") == set()


def test_r13_no_ids_are_not_everyone(world: World, rollcall: Rollcall, tmp_path: Path) -> None:
    world.has_learners("A")
    empty = tmp_path / "ids.txt"
    empty.write_text("\n")

    results: list[Result] = [
        rollcall("learners", "deactivate", "-o", "acme"),
        rollcall("learners", "deactivate", "-o", "acme", "--file", str(empty)),
    ]

    assert [result.exit_code for result in results] == [2, 2]
    assert ids_of(world, "active") == {"A"}
