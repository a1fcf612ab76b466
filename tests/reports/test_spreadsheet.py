"""A report is safe to open in a spreadsheet, whatever the platform's users called themselves and their things."""

import csv
import io
import unicodedata

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tasks.reports import HISTORY, TRAINING, Format, Tab
from tests.reports.reading import blocks, history, lines, sheet
from tests.world import World

#: What formulas begin with, and what hides it.
HOSTILE = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\tno formula, but a tab first",
    "＝1+1",
    "＋1",
    "－1",
    "＠SUM(1)",
    "﹦1+1",
    " =1+1",
    "\u00a0=1+1",
    "\u3000＝1+1",
    "\ufeff\u200b=1+1",
    '"=1+1',
    '"";=1+1',
    "'=1+1",
    "' =1+1",
    "harmless;=1+1",
    'harmless";"@SUM(1)',
    "harmless\t+1",
    "harmless\n-1",
    "harmless\r\n =1",
]


def begins_a_formula(cell: str) -> bool:
    """Whether a spreadsheet that ignores width, spaces, quotes and what cannot be seen would calculate here."""
    for character in cell:
        plain = unicodedata.normalize("NFKC", character)
        if plain in {"=", "+", "-", "@"}:
            return True
        if plain == "'" or plain.isalnum():
            return False
    return False


def formulas(text: str) -> list[str]:
    """The cells of a CSV that a spreadsheet would calculate, wherever in the world it is opened: it may cut at commas,
    semicolons or tabs, and at the end of each line."""
    cut = [row for mark in ",;\t" for row in csv.reader(text.splitlines(keepends=True), delimiter=mark)]
    whole = list(csv.reader(io.StringIO(text, newline="")))
    return [cell for row in cut + whole for cell in row if begins_a_formula(cell)]


def bare(cell: str) -> str:
    """A cell without apostrophes, which are all that is ever added."""
    return cell.replace("'", "")


def test_the_hostile_are_hostile() -> None:
    assert [cell for cell in HOSTILE if not formulas(f"harmless,{cell}\n") and not cell.startswith(("'", "\tno"))] == []


def test_no_cell_of_any_column_is_a_formula(world: World) -> None:
    for hostile in HOSTILE:
        world.organisation = hostile
        say = world.event
        world.send(
            say("organisation.saved", {"name": hostile, "licence": "credits"}),
            say("learner.saved", world.learner(hostile, username=hostile, email=hostile)),
            say("segment.saved", {"segment": hostile, "name": hostile}),
            say("segment.joined", {"segment": hostile, "learners": [hostile]}),
            say("course.saved", {"course": hostile, "title": hostile, "method": "segments", "segments": [hostile]}),
            say("enrolment.requested", {"request": hostile, "course": hostile, "learners": [hostile], "tab": "all"}),
            say("course.completed", {"learner": hostile, "course": hostile, "result": hostile}),
            say("learner.status_changed", {"learner": hostile, "status": "inactive"}, id_=f"{hostile} left"),
        )
        for report, told in ((TRAINING, 9), (HISTORY, 3)):
            text = b"".join(blocks(world, report, Tab.ARCHIVED, Format.CSV)).decode()
            cells = sheet(world, Tab.ARCHIVED, report)[-1]
            row = lines(world, Tab.ARCHIVED, report)[-1]
            said = {name: " ".join(value) if isinstance(value, list) else str(value) for name, value in row.items()}

            assert formulas(text) == [], hostile
            assert [cell for cell in cells.values() if cell.startswith(("\t", "\r", "\n"))] == []
            assert sum(hostile in value for value in said.values()) == told
            assert {name for name in said if hostile in said[name] and bare(cells[name]) != bare(said[name])} == set()


def test_the_lines_hold_what_was_said_as_it_was(world: World) -> None:
    world.send(*(world.event("learner.saved", world.learner(hostile, username=hostile)) for hostile in HOSTILE))
    world.becomes("inactive", *HOSTILE)
    world.has_course("safety", "everyone")

    assert [row["username"] for row in lines(world, Tab.ARCHIVED)] == HOSTILE
    assert list(dict.fromkeys(row["learner"] for row in history(world, Tab.ARCHIVED))) == HOSTILE


def test_an_apostrophe_comes_first_also_where_one_did_already(world: World) -> None:
    """So that taking one away, as some spreadsheets do, gives what was said and never a formula."""
    world.has_learners("A", username="'=1+1")
    world.has_course("safety", "everyone")

    assert [row["username"] for row in sheet(world, Tab.ACTIVE)] == ["''=1+1"]


def test_usual_text_is_left_alone(world: World) -> None:
    usual = [
        "Anne-Marie O'Neil",
        "a.b+c@d-e.example",
        "é-learning @ work",
        "安全-1",
        "R&D; phase 2",
        "(x)",
        "50% – half",
        "",
    ]

    assert [world.ask("SELECT spreadsheet_safe(:cell)", cell=cell) for cell in usual] == usual


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.text(st.sampled_from(";,\t\r\n\"' =+-@＝＋－＠﹦\u00a0\ufeff\u200b\u3000(#a1é"), max_size=12), max_size=60
    )
)
def test_no_text_at_all_becomes_a_formula(world: World, texts: list[str]) -> None:
    safe = world.list(
        "SELECT spreadsheet_safe(cell) FROM unnest(CAST(:texts AS text[])) WITH ORDINALITY AS t (cell, n) ORDER BY n",
        texts=texts,
    )
    written = io.StringIO()
    csv.writer(written).writerows(["first", cell, "last"] for cell in safe)

    assert formulas(written.getvalue()) == []
    assert [bare(cell) for cell in safe] == [bare(text) for text in texts]
