"""Learners from a previous LMS: R2, and what follows from each line as from an event (R1, R5, R6, R7, S1, S8, S13)."""

import csv
import io
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError, OperationalError
from structlog.testing import capture_logs

from config.database import lock_organisations, transaction
from tasks import imports, organisations
from tasks.imports import Imported, ImportOptions, ReadingOptions, intake
from tasks.mail.addresses import ADDRESS
from tests.world import World

HEADER = "Id,Username,E-mail,First name,Last name,Status\n"


def imported(
    world: World,
    text: str,
    *,
    organisation: str = "acme",
    on_batch: Callable[[], None] = lambda: None,
    on_slice: Callable[[int, int], None] = lambda _done, _of: None,
    **options: Any,
) -> Imported:
    """A file is imported into the organisation; one that says no status leaves it as it is."""
    engine = world.runtime.engine
    with transaction(engine) as connection:
        org = organisations.find(connection, [organisation])[organisation]
    source = io.BytesIO(text.encode())
    layout = imports.layout_of(source, ReadingOptions(keep_status=True))
    wanted = ImportOptions(refused_file(world), **options)
    return imports.import_file(
        engine, world.runtime.settings, org, source, layout, wanted, on_batch=on_batch, on_slice=on_slice
    )


def refused_file(world: World) -> Path:
    return world.runtime.home / "refused.csv"


def refused(world: World) -> list[tuple[int, str, str, str]]:
    """Each line that was refused: its number, its learner, the reason, and what there is to say of it."""
    with refused_file(world).open(newline="") as file:
        lines = [[*row, "", ""] for row in csv.reader(file)][1:]
    return [(int(number), id_, reason, detail) for number, reason, detail, id_, *_ in lines]


def everything(world: World) -> dict[str, list[str]]:
    """All that an import may write, to see that it wrote nothing."""
    tables = ["learners", "status_changes", "enrolments", "outbox", "mailings", "deliveries", "work", "organisations"]
    return {table: sorted(map(repr, world.rows(f"SELECT * FROM {table}"))) for table in tables}


def standings(world: World) -> dict[str, str]:
    return dict(world.rows("SELECT id, standing FROM learners"))


def line(id_: str, status: str = "Active", email: str | None = "") -> str:
    """A line about a learner as `World.learner` describes them."""
    address = f"{id_.lower()}@acme.example" if email == "" else email or ""
    return f"{id_},user-{id_},{address},First{id_},Last{id_},{status}\n"


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


def test_r07_the_standing_rules_enrol_whom_a_file_brings_silently_where_inactive(world: World) -> None:
    world.has_course("safety", "everyone")
    world.has_course("held", "everyone", on_hold=True)
    world.has_course("manual")

    imported(world, HEADER + line("A") + line("B", "Suspended") + line("C", email=None))
    world.settle()

    assert world.access("A") == {"safety"}
    assert world.enrolments("A").keys() == {"safety", "held"}
    assert world.enrolments("B")["safety"].silent
    assert world.access("B") == set()
    assert world.mail.recipients == ["a@acme.example"]
    assert {event["course"]: (event["enrolled"], event["silent"]) for event in world.out("enrolment.changed")} == {
        "safety": (["A", "C"], ["B"]),
        "held": (["A", "C"], ["B"]),
    }


def test_r07_a_segment_that_came_first_enrols_its_members_when_they_are_imported(world: World) -> None:
    world.has_segment("nurses", "A", "B")
    world.has_course("hygiene", "segments", segments=["nurses"])

    result = imported(world, HEADER + line("A") + line("B", "Suspended") + line("C"))
    world.settle()

    assert result.new == 3
    assert (world.access("A"), world.enrolments("B")["hygiene"].silent, world.enrolments("C")) == (
        {"hygiene"}, True, {},
    )  # fmt: skip


def test_r12_an_import_may_leave_out_the_notices(world: World) -> None:
    world.has_course("safety", "everyone")

    imported(world, HEADER + line("A"), notify=False)
    world.settle()

    assert world.access("A") == {"safety"}
    assert world.mail.taken == []


def test_r12_newcomers_are_told_in_one_mail_each_of_all_courses(world: World) -> None:
    world.has_course("safety", "everyone")
    world.has_course("hygiene", "everyone")

    imported(world, HEADER + line("A") + line("B"))
    world.settle()

    assert sorted(world.mail.recipients) == ["a@acme.example", "b@acme.example"]


def test_r04_r05_a_status_that_changes_is_what_it_is_by_event(world: World) -> None:
    world.has_learners("away", "user", email=None, status="inactive")
    world.has_learners("mail", status="inactive")
    world.has_learners("here")
    world.has_course("safety", "everyone")
    world.settle()

    result = imported(
        world,
        HEADER + line("away", email=None) + line("user", email=None) + line("mail") + line("here", "Long Term Leave"),
    )
    world.settle()

    assert (result.activated, result.deactivated, result.changed) == (3, 1, 4)
    assert [world.access(id_) for id_ in ("away", "mail", "here")] == [{"safety"}, {"safety"}, set()]
    assert world.out("access.activated") == [
        {"learner": id_, "courses": ["safety"]} for id_ in ("away", "user", "mail")
    ]
    assert world.out("access.suspended") == [{"learner": "here"}]
    assert {event["learner"] for event in world.out("learner.password_void")} == {"away", "user"}
    [message] = world.mail.to("admin@acme.example")
    text = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "user-away" in text
    assert "user-user" in text


@contextmanager
def small_slices(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Slices of a page, some seventy learners."""
    with monkeypatch.context() as patched:
        patched.setattr(intake, "SLICE_PAGES", 1)
        yield


def test_s08_the_admins_of_those_who_are_back_get_one_mail_however_many_slices(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.has_learners("00", "zz", email=None, status="inactive")
    numbered = [f"L{n:04}" for n in range(1000)]

    with small_slices(monkeypatch):
        result = imported(world, HEADER + "".join(line(id_, email=None) for id_ in ["00", *numbered, "zz"]))
    world.settle()

    assert (result.new, result.activated) == (1000, 2)
    assert world.mail.recipients == ["admin@acme.example"]


def test_learners_are_numbered_densely_whatever_the_slices(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.has_segment("nurses", "L0005", "elsewhere")
    text = HEADER + "".join(line(f"L{n:04}", "Suspended" if n % 10 == 0 else "Active") for n in range(1000))

    read: list[int] = []
    done: list[tuple[int, int]] = []

    with small_slices(monkeypatch), capture_logs() as lines:
        result = imported(
            world, text, on_batch=lambda: read.append(len(done)), on_slice=lambda *part: done.append(part)
        )

    assert set(read) == {0}, "all of it is read before any is taken"
    pages = len(done)
    assert done == [(n, pages) for n in range(1, pages + 1)]
    assert pages > 2
    [said] = [one for one in lines if one["event"] == "import.finished"]
    assert {name: said[name] for name in ("organisation", "read", "new", "refused", "encoding")} == {
        "organisation": 1, "read": 1000, "new": 1000, "refused": {}, "encoding": "utf-8",
    }  # fmt: skip
    assert said.keys() & {"sample", "columns", "unknown_statuses"} == set(), "it may name people"
    assert (result.read, result.new, result.inactive) == (1000, 1000, 100)
    assert world.list("SELECT learner FROM learners ORDER BY learner") == list(range(1, 1002))
    assert world.ask("SELECT learners FROM organisations") == 1001
    assert world.ask("SELECT count(*) FROM learners WHERE standing = 'inactive'") == 100


@pytest.mark.parametrize("dry_run", [True, False])
def test_the_lines_of_newcomers_are_not_gone_through_for_what_cannot_be_there(
    world: World, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    world.has_organisation(reactivation_digest=True)
    for name in ("known_unread", "odd_zones", "odd_statuses", "emptied", "notices"):
        monkeypatch.setattr(f"tasks.imports.judging.{name}", None)
    monkeypatch.setattr("tasks.imports.store.describe_known", None)
    text = HEADER + "".join(line(f"L{n:03}") for n in range(200))
    done: list[int] = []

    with small_slices(monkeypatch):
        imported(world, text, on_slice=lambda part, _of: done.append(part), dry_run=dry_run, notify=False)

    assert len(done) > 1
    assert world.ask("SELECT count(*) FROM fanouts") == 0, "there are no courses"


def test_r33_a_slice_that_loses_a_race_is_taken_again_and_one_that_cannot_be_taken_is_not(world: World) -> None:
    world.execute("CREATE SEQUENCE tries")
    world.execute("""
        CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            CASE nextval('tries')
                WHEN 1 THEN RAISE EXCEPTION 'no' USING ERRCODE = 'serialization_failure';
                WHEN 4 THEN RAISE EXCEPTION 'no' USING ERRCODE = 'connection_failure';
                ELSE RETURN NEW;
            END CASE;
        END $$
    """)
    world.execute("CREATE TRIGGER lose BEFORE INSERT ON learners FOR EACH ROW EXECUTE FUNCTION lose()")
    world.execute("ALTER TABLE learners ADD CHECK (id <> 'B')")

    assert imported(world, HEADER + line("A")).new == 1
    assert world.ask("SELECT last_value FROM tries") == 2
    assert world.list("SELECT learner FROM learners") == [1], "the number that was lost is given out"
    with pytest.raises(IntegrityError):
        imported(world, HEADER + line("B"))

    assert world.ask("SELECT last_value FROM tries") == 3
    with pytest.raises(OperationalError):
        imported(world, HEADER + line("C"))

    assert world.ask("SELECT last_value FROM tries") == 4, "the lines are lost with their connection"
    assert standings(world) == {"A": "active"}


def test_r31_a_slice_waits_for_whoever_is_changing_the_organisation(world: World) -> None:
    taking = threading.Thread(target=imported, args=(world, HEADER + line("A")))
    with world.about() as (connection, org):
        lock_organisations(connection, [org.organisation])
        taking.start()
        while not world.somebody_waits():
            assert taking.is_alive()
    taking.join()

    assert standings(world) == {"A": "active"}


def test_r06_who_is_saved_while_the_import_runs_is_not_added_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = HEADER + "".join(line(f"L{n:04}", "Suspended") for n in range(500))
    slices = []

    def meanwhile(done: int, _of: int) -> None:
        slices.append(done)
        if done == 1:
            world.has_learners("L0499", "L0498", "other", last_name="Newer", at=datetime.now(UTC))

    with small_slices(monkeypatch):
        result = imported(world, text, on_slice=meanwhile)

    assert len(slices) > 2
    assert (result.new, result.changed, result.deactivated) == (498, 2, 2)
    assert world.ask("SELECT count(*) FROM learners") == 501
    assert world.ask("SELECT last_name FROM learners WHERE id = 'L0499'") == "LastL0499"
    assert world.list("SELECT learner FROM learners ORDER BY learner") == list(range(1, 502))


def test_r32_an_import_that_was_interrupted_is_finished_by_the_same_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.has_course("safety", "everyone")
    text = HEADER + "".join(line(f"L{n:04}", email=None) for n in range(500))

    def lights_out(done: int, _of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with small_slices(monkeypatch), pytest.raises(KeyboardInterrupt):
        imported(world, text, on_slice=lights_out)
    taken = world.ask("SELECT count(*) FROM learners")
    result = imported(world, text)
    world.settle()

    assert 0 < taken < 500
    assert (result.new, result.unchanged) == (500 - taken, taken)
    assert world.ask("SELECT count(*) FROM enrolments WHERE activated_at IS NOT NULL") == 500


def test_r02_nothing_is_taken_of_a_file_in_which_a_column_that_is_not_used_calls_somebody_inactive(
    world: World,
) -> None:
    lines = "".join(line(f"L{n:04}").replace("\n", ",here\n") for n in range(1000))
    text = HEADER.replace("\n", ",Situation\n") + lines + line("B").replace("\n", ",Long-term leave\n")

    with pytest.raises(imports.NotReadable, match="'Situation' has 'Long-term leave' on line 1002 and is not used"):
        imported(world, text)

    assert standings(world) == {}


@pytest.mark.parametrize("seconds", [-1, 1])
def test_s01_an_import_holds_against_a_clock_that_is_ahead(world: World, seconds: int) -> None:
    ahead = datetime.now(UTC) + timedelta(seconds=100)
    world.has_learners("A", at=ahead, version=3)
    world.becomes("active", "A", at=ahead + timedelta(seconds=seconds), version=3)

    imported(world, HEADER + line("A", "Suspended").replace("LastA", "Newer"))
    world.has_learners("A", at=ahead, version=3, last_name="Older", status="active")

    assert world.rows("SELECT standing, last_name, version FROM learners") == [("inactive", "Newer", 3)]
    assert world.ask("SELECT status_at(organisation, learner, 'infinity') FROM learners") is False


def test_r06_what_waited_for_a_learner_is_taken_when_they_are_imported(world: World) -> None:
    world.has_course("safety", "everyone")
    world.starts("A", "safety", at=datetime.now(UTC))
    world.starts("B", "safety", at=datetime.now(UTC) + timedelta(seconds=60))
    world.becomes("inactive", "C")
    assert len(world.quarantine()) == 3

    imported(world, HEADER + line("A") + line("B", "Suspended"))
    imported(world, "id,login\nC,user-C\n")

    assert [entry.learner for entry in world.ledger()] == ["A"]
    assert {entry.reason for entry in world.quarantine().values()} == {"learner inactive"}
    assert standings(world)["C"] == "inactive"


def test_s13_an_import_that_contradicts_a_charge_flags_it(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    soon = datetime.now(UTC) + timedelta(seconds=60)
    world.starts("A", "safety", at=soon)

    imported(world, HEADER + line("A", "Suspended"))

    assert [entry.review for entry in world.ledger()] == ["learner inactive"]


def test_s15_a_learner_who_was_deleted_is_known_again_when_imported(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.say("learner.deleted", learner="A")

    result = imported(world, HEADER + line("A"))

    assert (result.new, result.activated, standings(world), world.access("A")) == (1, 0, {"A": "active"}, {"safety"})


def test_r31_an_import_touches_no_other_organisation(world: World) -> None:
    world.organisation = "other"
    world.has_organisation()
    world.has_learners("A", "B", last_name="Other")
    world.organisation = "acme"

    imported(world, HEADER + line("A", "Suspended"))

    assert world.rows("SELECT id, standing, last_name, organisation FROM learners ORDER BY 4, 1") == [
        ("A", "inactive", "LastA", 1),
        ("A", "active", "Other", 2),
        ("B", "active", "Other", 2),
    ]


#: Courses that enrol by rule, and a segment.
RULES: list[tuple[str, dict[str, Any]]] = [
    ("segment.saved", {"segment": "nurses", "name": "Nurses"}),
    ("course.saved", {"course": "safety", "title": "Safety", "cost": 1, "method": "everyone"}),
    ("course.saved", {"course": "hygiene", "title": "Hygiene", "method": "segments", "segments": ["nurses"]}),
]

#: What may have happened to a learner before a file says something of them.
PAST = [
    ("learner.status_changed", {"learner": "L", "status": "active"}),
    ("learner.status_changed", {"learner": "L", "status": "inactive", "version": 3}),
    ("learner.saved", {"learner": "L", "username": "login", "email": "l@acme.example", "last_name": "Last"}),
    ("learner.saved", {"learner": "L", "username": "login", "last_name": "Last", "status": "active", "version": 2}),
    ("learner.saved", {"learner": "L", "username": "login", "last_name": "Last", "status": "inactive", "version": 4}),
    ("segment.joined", {"segment": "nurses", "learners": ["L"]}),
    ("segment.left", {"segment": "nurses", "learners": ["L"]}),
    ("course.started", {"learner": "L", "course": "safety"}),
    ("enrolment.withdrawn", {"learners": ["L"], "course": "safety"}),
]


@given(
    story=st.lists(st.sampled_from(PAST), max_size=6),
    status=st.sampled_from(["Active", "Suspended", None]),
    email=st.sampled_from([None, "l@acme.example"]),
    last_name=st.sampled_from(["Last", "Newer"]),
)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_r02_r06_a_line_is_what_an_event_would_be(
    world: World, story: list[tuple[str, dict[str, Any]]], status: str | None, email: str | None, last_name: str
) -> None:
    """Two organisations with the same past: one imports a line, the other is sent the same as an event."""
    number = world.ask("SELECT count(*) FROM organisations")
    pair = [f"imports-{number}", f"told-{number}"]
    begun = world.clock
    for world.organisation in pair:
        world.clock = begun
        world.has_organisation(reactivation_digest=True)
        world.send(*(world.event(type_, data) for type_, data in [*RULES, *story]))
    known = world.rows(_SEEN, organisation=pair[0])
    columns = {"id": "L", "username": "login", "email": email or "", "last name": last_name, "status": status}
    given = {name: cell for name, cell in columns.items() if cell is not None}
    result = imported(world, f"{','.join(given)}\n{','.join(given.values())}\n", organisation=pair[0])
    if result.unchanged:
        assert world.rows(_SEEN, organisation=pair[0]) == known
        return
    told: dict[str, Any] = {"learner": "L", "username": "login", "email": email, "last_name": last_name}
    if status is not None:
        told["status"] = "active" if status == "Active" else "inactive"
    world.send(world.event("learner.saved", told, at=datetime.now(UTC), organisation=pair[1]))

    ours, theirs = (world.rows(_SEEN, organisation=each) for each in pair)
    assert ours == theirs
    assert result.read == result.new + result.changed == 1


#: All there is to see of an organisation's one learner; of what happened just now, not when and not by which event.
_SEEN = """
WITH mine AS (SELECT * FROM organisations WHERE id = :organisation),
recent AS (SELECT now() - interval '1 hour' AS since)
SELECT 'learner', to_jsonb(l) - 'organisation' - 'saved_at' FROM learners l JOIN mine USING (organisation)
UNION ALL
SELECT 'status', jsonb_build_array(s.version, s.active, CASE WHEN occurred_at < since THEN occurred_at END)
FROM status_changes s JOIN mine USING (organisation), recent
UNION ALL
SELECT 'enrolment', jsonb_build_array(c.id, e.silent, e.withdrawn_by, e.started_at, e.review, e.notice IS NOT NULL,
                                      e.activated_at > since, e.enrolled_at > since)
FROM enrolments e JOIN mine USING (organisation) JOIN courses c USING (organisation, course), recent
UNION ALL
SELECT 'charge', jsonb_build_array(c.amount, c.occurred_at, r.code)
FROM consumptions c JOIN mine USING (organisation) LEFT JOIN reviews r USING (organisation, consumption)
UNION ALL
SELECT 'mail', jsonb_build_array(m.kind, m.learners, d.recipient, d.state, d.reason)
FROM deliveries d JOIN mine USING (organisation) JOIN mailings m USING (organisation, mailing)
UNION ALL
SELECT 'work', jsonb_build_array(w.queue, w.actor, w.low, w.high) FROM work w JOIN mine USING (organisation)
UNION ALL
SELECT 'said', jsonb_build_array(o.type, CAST(o.data AS jsonb) - CAST('{consumption,event,_organisation}' AS text[]))
FROM outbox o JOIN mine USING (organisation)
UNION ALL
SELECT 'held', jsonb_build_array(i.type, i.state, i.reason) FROM inbox i JOIN mine ON mine.id = i.organisation
WHERE i.state <> 'applied'
ORDER BY 1, 2
"""


def test_r12_nobody_is_in_two_pieces_of_one_mailing(world: World) -> None:
    world.has_course("old")
    world.withdraws("old", "mentioned")
    world.has_learners("deleted")
    world.say("learner.deleted", learner="deleted")
    world.has_course("safety", "everyone")

    imported(world, HEADER + "".join(line(id_) for id_ in ("mentioned", "deleted", *(f"N{n}" for n in range(9)))))

    pieces = world.rows("SELECT subject, low, high FROM work WHERE actor = 'mail.deliver' ORDER BY subject, low")
    assert len({subject for subject, _, _ in pieces}) == len(pieces) == 2
    world.settle()
    assert len(world.mail.recipients) == len(set(world.mail.recipients)) == 11
