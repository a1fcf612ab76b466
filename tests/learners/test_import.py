"""What is read of a file from a previous LMS, line by line: R2."""

import csv
import io
import re
from random import Random

import pytest
from structlog.testing import capture_logs

from config import clock
from config.counting import counts
from tasks import imports
from tasks.mail.addresses import ADDRESS
from tests.learners.importing import HEADER, everything, imported, line, refused, refused_file, standings
from tests.world import World


@pytest.mark.parametrize(
    ("status", "standing"),
    [
        ("Suspended", "inactive"),
        (" suspended ", "inactive"),
        ("Long Term Leave", "inactive"),
        ("LONG TERM LEAVE", "inactive"),
        ("Inactive", "inactive"),
        ("Active", "active"),
        ("invited", "active"),
        ("PENDING", "active"),
    ],
)
def test_r02_a_previous_status_becomes_active_or_inactive(world: World, status: str, standing: str) -> None:
    result = imported(world, HEADER + line("A", status))

    assert standings(world) == {"A": standing}
    assert (result.read, result.new, result.inactive) == (1, 1, int(standing == "inactive"))
    assert world.rows("SELECT active, cause FROM status_changes") == [(standing == "active", "import")]


def test_r02_an_unknown_status_is_an_error_that_names_the_line(world: World) -> None:
    result = imported(world, HEADER + line("A") + line("B", "Sleeping") + line("C") + line("D", " "))

    assert standings(world) == {"A": "active", "C": "active"}
    assert result.refused == {"unknown status": 2}
    assert refused(world) == [(3, "B", "unknown status", "Sleeping"), (5, "D", "unknown status", "it is empty")]


def test_r02_every_line_is_taken_or_refused_with_its_reason(world: World) -> None:
    text = HEADER + (
        line("A")
        + "B,too,few\n"
        + "\n"
        + ',no-id,x@acme.example,X,"Y\nZ",Active\n'
        + line("i" * 201)
        + line("i" * 200)
        + "C,,,Neither,Nor,Active\n"
        + line("D", email="not an address")
        + line("E", email="two@at@signs.example")
        + f"F,{'u' * 1001},f@acme.example,F,F,Active\n"
        + line("A", "Suspended")
        + line("A")
        + line("G", "Sleeping")
        + line("G")
        + "H,\0,h@acme.example,H,H,Active\n"
        + '"I"x,user,i@acme.example,I,I,Active\n'
        + ",,,,,\n"
        + "=1+1,,,,,Active\n"
        + 'J,user,j@acme.example,"never closed,J,Active\n'
    )

    result = imported(world, text)

    assert refused(world) == [
        (3, "B", "wrong number of cells", "3 in place of 6"),
        (5, "", "no id", ""),
        (7, "i" * 201, "too long", "learner: at most 200 characters"),
        (9, "C", "neither username nor e-mail", ""),
        (10, "D", "bad e-mail", ""),
        (11, "E", "bad e-mail", ""),
        (12, "F", "too long", "username: at most 1000 characters"),
        (13, "A", "repeated id", "as on line 2"),
        (14, "A", "repeated id", "as on line 2"),
        (15, "G", "unknown status", "Sleeping"),
        (17, "H", "character NUL", ""),
        (18, '"I"x,user,i@acme.example,I,I,Active', "broken quotation marks", "',' expected after '\"'"),
        (20, "'=1+1", "neither username nor e-mail", ""),
        (21, 'J,user,j@acme.example,"never closed,J,Active', "broken quotation marks", "unexpected end of data"),
    ]
    assert standings(world) == {"A": "inactive", "i" * 200: "active", "G": "active"}  # line 13 calls A inactive
    assert (result.read, result.new, sum(result.refused.values())) == (17, 3, 14)
    assert result.refused_file == str(refused_file(world))


def test_r02_an_address_may_be_as_long_as_mail_servers_take_it(world: World) -> None:
    longest = "e" * (254 - len("@acme.example")) + "@acme.example"

    assert imported(world, HEADER + line("A", email=longest) + line("B", email="e" + longest)).refused == {
        "bad e-mail": 1
    }
    assert imported(world, HEADER + line("C", email="é" + longest[2:])).refused == {}
    assert imported(world, HEADER + line("D", email="e" * 67 + longest)).refused == {"too long": 1}


def test_r02_postgresql_reads_an_address_as_mail_does(world: World) -> None:
    chance = Random(1)  # noqa: S311 - not a secret
    texts = ["".join(chance.choices("aab.-_@@ é\u00ad\u200b。,1", k=chance.randint(1, 9))) for _ in range(3000)]

    rows = world.rows(
        "SELECT text, text ~ :pattern FROM unnest(CAST(:texts AS text[])) AS text",
        texts=texts,
        pattern=f"^(?:{ADDRESS})$",
    )

    assert [text for text, plain in rows if plain is (re.fullmatch(ADDRESS, text) is None)] == []
    assert sum(plain for _, plain in rows) > 20


def test_r02_nothing_is_written_where_nothing_is_refused(world: World) -> None:
    result = imported(world, HEADER + line("A"))

    assert (result.refused, result.refused_file) == ({}, None)
    assert not refused_file(world).exists()


def test_every_character_of_a_cell_arrives(world: World) -> None:
    names = [
        "tab\there",
        "line\nend",
        "re\rturn",
        "\\N",
        "\\.",
        'a "quoted" one',
        "O'Neil; Ann, MD",
        "漢字 🎓",
        "in\x1f\x01side",
        "=1",
    ]
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(
        [["id", "login", "first name"], *([f"L{n}", "l", name] for n, name in enumerate(names))]
    )

    imported(world, text.getvalue())
    again = imported(world, text.getvalue())

    assert world.list("SELECT first_name FROM learners ORDER BY learner") == [name.strip() for name in names]
    assert again.unchanged == len(names)


@pytest.mark.parametrize("space", [" ", "\t", "  ", "\xa0", "\u2003", "\u3000", "\x1f"])
@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True)])
def test_space_around_a_cell_is_not_part_of_it(world: World, space: str, before: bool, after: bool) -> None:
    cells = [f"{space * before}{cell}{space * after}" for cell in ("A", "user A", "a@acme.example", "Suspended")]

    result = imported(world, "id,login,mail,status\n" + ",".join(cells) + "\n")

    assert result.refused == {}
    assert world.rows("SELECT id, username, email, standing FROM learners") == [
        ("A", "user A", "a@acme.example", "inactive")
    ]


def test_r02_an_id_is_repeated_whether_or_not_its_learner_comes_first(world: World) -> None:
    world.has_learners("B", "D", status="inactive")

    imported(world, HEADER + line("A") + line("B", "Suspended") + line("C") + line("B") + line("D") + line("D"))

    assert [(number, id_, detail) for number, id_, _, detail in refused(world)] == [
        (5, "B", "as on line 3"),
        (7, "D", "as on line 6"),
    ]
    assert standings(world) == {"A": "active", "B": "inactive", "C": "active", "D": "active"}


def test_r32_the_same_file_again_changes_nothing(world: World) -> None:
    world.has_course("safety", "everyone")
    world.has_learners("known")
    text = HEADER + line("A") + line("B", "Suspended", email=None) + line("known", "Suspended") + line("C", "odd")
    imported(world, text)
    world.settle()
    before = everything(world)

    again = imported(world, text)

    assert (again.new, again.changed, again.unchanged, again.activated, again.deactivated) == (0, 0, 3, 0, 0)
    assert everything(world) == before


def test_r02_a_dry_run_says_what_would_be_and_leaves_no_trace(world: World) -> None:
    world.has_course("safety", "everyone")
    world.has_learners("known", "same")
    world.has_learners("back", status="inactive")
    world.settle()
    before = everything(world)
    text = HEADER + line("A") + line("known", "Suspended") + line("same") + line("back") + line("bad", "odd")

    said = imported(world, text, dry_run=True)
    refused_then = refused(world)

    assert everything(world) == before
    done = imported(world, text)
    assert (done.new, done.changed, done.unchanged, done.activated, done.deactivated) == (1, 2, 1, 1, 1)
    said.dry_run = False
    assert said == done
    assert refused_then == refused(world)


def test_r23_a_dry_run_counts_no_charge_and_says_nothing_begun(world: World) -> None:
    world.has_course("safety", "everyone")
    world.starts("A", "safety", at=clock.now())
    counts.take()

    with capture_logs() as looked:
        imported(world, HEADER + line("A"), dry_run=True)
    charged = [n for name, n in counts.take().items() if "charged" in name]
    with capture_logs() as done:
        imported(world, HEADER + line("A"))

    assert (charged, [log["event"] for log in looked]) == ([], ["import.finished"])
    assert [n for name, n in counts.take().items() if "charged" in name] == [1]
    assert "fanout.begun" in [log["event"] for log in done]


def test_a_column_the_file_does_not_have_leaves_what_is_known_alone(world: World) -> None:
    world.has_learners("A", "B", status="inactive", version=7)

    result = imported(world, "id;email\nA;new@acme.example\nC;c@acme.example\n")
    imported(world, "id;login;first name;last name;language;tz\nB;b;;;;\n")

    assert (result.changed, result.new, result.activated) == (1, 1, 0)
    assert world.rows(
        "SELECT id, username, email, first_name, last_name, locale, time_zone, standing, version, saved_version"
        " FROM learners ORDER BY id"
    ) == [
        ("A", "user-A", "new@acme.example", "FirstA", "LastA", "en", "Europe/Amsterdam", "inactive", 7, 7),
        ("B", "b", "b@acme.example", None, None, None, None, "inactive", 7, 7),
        ("C", None, "c@acme.example", None, None, None, None, "active", 0, 0),
    ]
    assert world.ask("SELECT count(*) FROM status_changes") == 2


def test_r02_nothing_is_taken_of_a_file_in_which_a_column_that_is_not_used_calls_somebody_inactive(
    world: World,
) -> None:
    lines = "".join(line(f"L{n:04}").replace("\n", ",here\n") for n in range(1000))
    text = HEADER.replace("\n", ",Situation\n") + lines + line("B").replace("\n", ",Long-term leave\n")

    with pytest.raises(imports.NotReadable, match="'Situation' has 'Long-term leave' on line 1002 and is not used"):
        imported(world, text)

    assert standings(world) == {}
