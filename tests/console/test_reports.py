"""R29, R30: the Reports section: analytics of the active alone, and the archive of the inactive with its export."""

import csv
import io
import re

import pytest

from tasks.accounts import Role
from tests.console.conftest import Consoled

REPORTS = "organisations/acme/reports"
HOSTILE = '<b onclick="x">\u202eevil</b>'


@pytest.fixture(autouse=True)
def _acme(console: Consoled) -> None:
    world = console.world
    world.has_organisation()
    world.has_learners("ann", "bob")
    world.has_learners("una", email=None, first_name="=1+1", last_name=HOSTILE)
    world.has_course("c1", title=HOSTILE)
    world.has_course("c2")
    world.say("segment.saved", segment="red", name=HOSTILE)
    world.say("segment.joined", segment="red", learners=["ann", "una"])
    world.asks_to_enrol("c1", "ann", "bob", "una")
    world.settle()
    for learner in ("ann", "una"):
        world.starts(learner, "c1")
    world.say("course.completed", learner="una", course="c1", result="passed")
    world.becomes("inactive", "una")


def table(text: str, caption: str) -> list[list[str]]:
    """The cells of the table below a heading, without their tags."""
    part = text.split(caption)[1].split("</table>", maxsplit=1)[0]
    rows = re.findall(r"<tr.*?</tr>", part, re.DOTALL)
    return [
        [" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
        for row in rows
    ]


def test_r29_who_is_inactive_is_in_no_number_and_no_plot(console: Consoled) -> None:
    reader = console.visitor(Role.READER).open(REPORTS)

    assert [row[1:] for row in table(reader.text, "those with most enrolled first")[1:]] == [
        ["2", "1", "0", "1", "0"],
        ["0", "0", "0", "0", "0"],
    ]
    assert [row[1:] for row in table(reader.text, "those with most enrolments first")[1:]] == [["1", "1", "1", "0"]]
    assert "Only users who are active now are counted." in reader.says
    assert "As counted" in reader.says


def test_r29_one_course_over_time_is_a_link_and_a_year_goes_by_weeks(console: Consoled) -> None:
    reader = console.visitor(Role.READER).open(f"{REPORTS}?days=365&course=c1")

    assert "Started and completed by week" in reader.says
    assert "Over time, in one course c1" in reader.says
    assert [row[1:] for row in table(reader.text, "As a table") if row[1:] != ["0", "0"]][1:] == [["1", "0"]]
    assert reader.open(f"{REPORTS}?course=none").status == 404
    assert reader.open(f"{REPORTS}?days=31").status == 422
    assert reader.open(f"{REPORTS}?courses=nonsense").status == 422


def test_r30_the_archive_shows_the_inactive_with_what_they_did(console: Consoled) -> None:
    console.world.has_learners("new")
    console.world.becomes("inactive", "new")
    reader = console.visitor(Role.READER).open(f"{REPORTS}?tab=archived")

    rows = table(reader.text, "training history, in the order")[1:]
    assert [row[0].split()[-1] for row in rows] == ["user-una", "new@acme.example"]
    assert "passed" in rows[0][4]
    assert rows[1][1] == "never enrolled"
    assert "ann" not in reader.text.split("<main")[1]


def test_r29_the_export_of_the_archive_is_that_of_the_command(console: Consoled) -> None:
    reader = console.visitor(Role.READER).open(f"{REPORTS}?tab=archived")
    links = [one.replace("&amp;", "&") for one in re.findall(r'href="([^"]+)" download', reader.text)]
    assert len(links) == 3
    rows = [*csv.DictReader(io.StringIO(reader.open(links[0]).text))]

    assert [*rows[0]][:6] == ["organisation", "learner", "username", "email", "learner_status", "segments"]
    assert [(row["learner"], row["course"], row["result"], row["learner_status"]) for row in rows] == [
        ("una", "c1", "passed", "inactive")
    ]
    assert reader.headers["content-disposition"] == 'attachment; filename="training-archived.csv"'
    assert '"learner":"una"' in reader.open(links[1]).text
    assert "una,inactive" in reader.open(links[2]).text


def test_what_is_called_by_markup_is_text_in_plots_and_tables(console: Consoled) -> None:
    reader = console.visitor(Role.READER)
    for path in (REPORTS, f"{REPORTS}?course=c1", f"{REPORTS}?tab=archived"):
        reader.open(path)
        assert (reader.status, "<b onclick" in reader.text) == (200, False)
        assert "&lt;b onclick=" in reader.text


def test_an_organisation_with_nothing_says_what_will_appear(console: Consoled) -> None:
    console.world.send(console.world.event("organisation.saved", {"name": "B", "licence": "seats"}, organisation="b"))
    reader = console.visitor(Role.READER, "b").open("organisations/b/reports")

    assert "There are no courses yet." in reader.says
    assert "There are no segments yet." in reader.says
    assert "Nobody is inactive." in reader.open("organisations/b/reports?tab=archived").says


def test_pages_of_courses_segments_and_the_archive_go_on(console: Consoled, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHOWN", "ARCHIVED"):
        monkeypatch.setattr(f"workers.web.console.reports.{name}", 1)
    console.world.becomes("inactive", "bob")
    console.world.say("segment.saved", segment="blue", name="Blue")
    reader = console.visitor(Role.READER)
    for path, caption, first, then in (
        (REPORTS, "most enrolled first", "c1", "c2"),
        (REPORTS, "most enrolments first", "red", "blue"),
        (f"{REPORTS}?tab=archived", "in the order", "bob@", "user-una"),
    ):
        part = reader.open(path).text.split(caption)[1]
        assert first in part.split("</table>")[0]
        onward = part.split('rel="next" href="')[1].split('"')[0].partition("#")[0].replace("&amp;", "&")
        part = reader.open(onward).text.split(caption)[1].split("</table>")[0]
        assert (first in part, then in part) == (False, True)
