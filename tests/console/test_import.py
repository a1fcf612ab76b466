"""R2: the Import section: a file is dropped, looked at, corrected, looked at again, and imported."""

import re

import pytest

from tasks.accounts import Role
from tests.console.conftest import Consoled, Visitor
from workers.web.console import uploading

IMPORTS = "organisations/acme/imports"
FILE = "id;username;email;status;shoe\nN1;n1;;Blau;1\nN2;n2;n2@acme.example;active;2\n;n3;;active;3\n".encode("cp1252")


@pytest.fixture(autouse=True)
def _acme(console: Consoled) -> None:
    console.world.has_organisation()


def dropped(admin: Visitor, content: bytes = FILE, name: str = "staff.csv") -> Visitor:
    fields = admin.open(IMPORTS).form(IMPORTS)
    sent = [one for one in fields if one[0] != "file"]
    return admin.drop(IMPORTS, sent, name, content, Sec_Fetch_Site="same-origin", Origin=admin.url)


def test_a_file_is_looked_at_corrected_looked_at_again_and_imported(console: Consoled) -> None:
    world, admin = console.world, dropped(console.visitor())
    here = admin.at
    assert (admin.status, "nothing is changed" in admin.says) == (200, True)
    world.settle()
    admin.open(here)
    for said in ("only looked at", "New users 1", "Refused lines 2", "unknown status 1", "no id 1", "Not used shoe"):
        assert said in admin.says
    assert world.ask("SELECT count(*) FROM learners") == 0
    lines = re.findall("<tr><th[^>]*>(\\d+)</th><td[^>]*>(\\w+ \\w+)", admin.text)
    assert sorted(why for _, why in lines) == ["no id", "unknown status"], "the lines themselves"
    admin.send(
        here,
        *(("do", "look"), ("word", "Blau"), ("means", "inactive"), ("encoding", "cp1252"), ("keep_empty", "yes")),
        *(("map-first_name", "shoe"),),
        leave=frozenset({"do", "word", "map-first_name"}),
    )
    world.settle()
    admin.open(here)
    for said in ("New users 2", "Inactive in the file 1", "Refused lines 1", "First name shoe", "(cp1252)"):
        assert said in admin.says
    refused = console.visitor().open(f"{here}/refused").text
    assert ("no id" in refused, "unknown status" in refused) == (True, False)
    looked_at = admin.made_of
    key = admin.text.split('name="key" value="')[1].split('"')[0]
    admin.open(here, [("key", key), ("do", "import")], Sec_Fetch_Site="same-origin")
    world.settle()
    admin.open(here)

    assert admin.made_of != looked_at, "who follows it is told, though as much was read before"
    assert "imported" in admin.says
    assert world.list("SELECT standing::text || first_name FROM learners ORDER BY id") == ["inactive1", "active2"]
    assert "Look again" not in admin.says
    assert [("staff.csv" in admin.open(IMPORTS).says, "imported 3 1" in admin.says)] == [(True, True)]
    assert world.rows("SELECT act, outcome FROM audit ORDER BY id") == [
        ("imports.run", "begun"),
        ("imports.again", "begun"),
        ("imports.again", "begun"),
    ]


def test_names_in_a_guessed_encoding_are_shown_to_be_judged(console: Consoled) -> None:
    names = "id,email,status,first_name\n" + "".join(
        f"N{n},n{n}@acme.example,active,{name}\n" for n, name in enumerate(("Zoë", "André", "Søren", "Jürgen"))
    )
    admin = dropped(console.visitor(), names.encode("cp1252"))
    console.world.settle()
    admin.open(admin.at)

    assert "Western Europe (cp1252) a guess Names read so" in admin.says
    assert sum(name in admin.says.split("Names read so")[1] for name in ("Zoë", "André", "Søren", "Jürgen")) == 3


def test_a_file_that_cannot_be_read_says_why_and_is_corrected(console: Consoled) -> None:
    admin = dropped(console.visitor(), b"no;mail\nN1;n1@acme.example\n")
    here = admin.at
    console.world.settle()
    admin.open(here)
    assert "could not be read" in admin.says
    assert "There is no column for the learner" in admin.says
    key = admin.text.split('name="key" value="')[1].split('"')[0]
    fields = [("key", key), ("map-learner", "no"), ("status", "active")]
    admin.open(here, [*fields, ("delimiter", "::")], Sec_Fetch_Site="same-origin")
    assert (admin.status, "A delimiter is one character" in admin.says) == (422, True)
    admin.open(here, fields, Sec_Fetch_Site="same-origin")
    console.world.settle()

    assert "New users 1" in admin.open(here).says


def test_r15_many_are_told_only_if_it_is_ticked(console: Consoled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.web.console.imports.UNASKED", 1)
    console.world.has_course("c1", "everyone")
    admin = dropped(console.visitor(), b"id,email,status\nN1,n1@acme.example,active\nN2,n2@acme.example,active\n")
    console.world.settle()

    assert "Yes, tell 2 users by mail of their courses." in admin.open(admin.at).says


def test_why_a_file_cannot_be_read_is_said_in_the_words_of_the_form_and_the_language_of_its_reader(
    console: Consoled,
) -> None:
    for file, english, dutch in (
        (
            b"no;mail\nN1;n1@acme.example\n",
            "Say which it is.",
            "Er is geen kolom voor de id van de gebruiker;",
        ),
        (bytes(range(256)) * 12, "This is not a CSV file", "Dit is geen CSV-bestand: bewaar de tabel als CSV"),
    ):
        admin = dropped(console.visitor(), file)
        here = admin.at
        console.world.settle()
        assert english in admin.open(here).says
        assert "--map" not in admin.says
        admin.cookies["rollcall-language"] = "nl"
        assert dutch in admin.open(here).says


def test_a_refused_line_that_is_too_long_to_be_read_keeps_nobody_from_the_others(console: Consoled) -> None:
    admin = dropped(console.visitor(), b"id;username;status\nN1;%s;active\n;n2;active\n" % (b"x" * 200_000))
    console.world.settle()

    assert admin.open(admin.at).status == 200
    assert ("broken quotation marks 1" in admin.says, "3 no id" in admin.says) == (True, True)


def test_refused_lines_of_which_the_first_block_ends_anywhere_are_shown_as_far_as_they_go(console: Consoled) -> None:
    world, admin = console.world, dropped(console.visitor())
    here = admin.at
    world.settle()
    length = world.ask("SELECT max(length(block)) FROM upload_blocks WHERE part = 'refused'")
    for n in range(length, 0, -3):  # more pages are not for one person at once
        world.execute(f"UPDATE upload_blocks SET block = substr(block, 1, {n}) WHERE part = 'refused'")
        assert admin.open(here).status == 200, n


def test_what_is_no_file_is_refused_and_what_is_too_large_too(
    console: Consoled, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = console.visitor()
    key = admin.open("preferences").text.split('name="key" value="')[1].split('"')[0]
    assert admin.open(IMPORTS, [("key", key)], Sec_Fetch_Site="same-origin").status == 415
    assert dropped(admin, name="").status in {400, 422}
    monkeypatch.setattr(uploading, "LONGEST", 100)
    assert (dropped(admin).status, "larger than" in admin.says) == (413, True)
    assert console.world.ask("SELECT count(*) FROM uploads") == 0


def test_a_file_is_not_read_of_somebody_who_may_not_send_it(console: Consoled) -> None:
    key = console.visitor().open("preferences").text.split('name="key" value="')[1].split('"')[0]
    fields = [("key", key)]
    reader = console.visitor(Role.READER)
    assert "Import a file" not in reader.open(IMPORTS).says
    assert reader.drop(IMPORTS, fields, "a", FILE, Sec_Fetch_Site="same-origin").status == 403
    assert console.visitor(None).drop(IMPORTS, fields, "a", FILE).status == 303
    operator = console.visitor(Role.OPERATOR)
    assert operator.drop(IMPORTS, fields, "a", FILE, Sec_Fetch_Site="cross-site").status == 403
    assert operator.drop(IMPORTS, fields, "a", FILE, Sec_Fetch_Site="same-origin").status == 403, "not its key"
    assert console.world.ask("SELECT count(*) FROM uploads") == 0


def test_r31_an_import_of_another_organisation_is_not_there(console: Consoled) -> None:
    console.world.send(console.world.event("organisation.saved", {"name": "B", "licence": "seats"}, organisation="b"))
    id_ = dropped(console.visitor()).at.rpartition("/")[2]
    other = console.visitor(Role.ADMIN, "b")
    key = other.open("preferences").text.split('name="key" value="')[1].split('"')[0]

    for path in (id_, f"{id_}/refused", "x", "9" * 30):
        assert other.open(f"organisations/b/imports/{path}").status == 404
    sent = other.open(f"organisations/b/imports/{id_}", [("key", key), ("do", "import")], Sec_Fetch_Site="same-origin")
    assert sent.status == 404
    assert "No file was imported" in other.open("organisations/b/imports").says


def test_what_a_file_says_is_text(console: Consoled) -> None:
    evil = '<img src=x onerror="x">'
    said = f"id,email,status,{evil}\nN1,n1@acme.example,{evil},{evil}\nN2,é@acme.example,active,x\n"
    admin = dropped(console.visitor(), said.encode(), name=f"{evil}.csv")
    console.world.settle()
    for path in (admin.at, IMPORTS):
        admin.open(path)
        assert (admin.status, "<img" in admin.text, "&lt;img" in admin.text) == (200, False, True)
