"""The training report: R29, R30, and the contract's columns."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

import msgspec

from tasks.reports import Format, Tab, stream
from tests.world import World

#: As the contract lists them.
COLUMNS = [
    "organisation", "learner", "username", "email", "learner_status", "segments",
    "course", "title", "cycle", "sources", "enrolled_at", "silent",
    "activated_at", "notified_at", "started_at", "completed_at", "result", "withdrawn_at",
    "access",
]  # fmt: skip


def report(world: World, tab: Tab, format_: Format = Format.JSONL) -> str:
    with world.about() as (connection, org):
        return b"".join(stream(connection, org.organisation, tab, format_)).decode()


def lines(world: World, tab: Tab) -> list[dict[str, Any]]:
    return [json.loads(line) for line in report(world, tab).splitlines()]


def test_r29_each_tab_holds_exactly_its_learners(world: World) -> None:
    world.has_learners("A", "B")
    world.has_learners("C", status="inactive")
    world.has_course("safety", "everyone")

    assert [row["learner"] for row in lines(world, Tab.ACTIVE)] == ["A", "B"]
    assert [row["learner"] for row in lines(world, Tab.ARCHIVED)] == ["C"]

    world.becomes("inactive", "A")

    assert [row["learner"] for row in lines(world, Tab.ACTIVE)] == ["B"]
    assert [row["learner"] for row in lines(world, Tab.ARCHIVED)] == ["A", "C"]


def test_r30_the_history_of_an_inactive_learner_stays_in_sight(world: World) -> None:
    world.say("segment.saved", segment="nurses", name="Nurses")
    world.has_learners("A")
    world.say("segment.joined", segment="nurses", learners=["A"])
    world.has_course("safety", "everyone", title='Safety, "first"')
    enrolled = world.clock
    world.settle()
    world.starts("A", "safety")
    started = world.clock
    world.say("course.completed", learner="A", course="safety", result="passed", score=0.9)
    completed = world.clock
    world.becomes("inactive", "A")

    [row] = lines(world, Tab.ARCHIVED)

    assert list(row) == COLUMNS
    notified = row.pop("notified_at")
    assert msgspec.convert(notified, type=type(enrolled)) > enrolled
    assert row == {
        "organisation": "acme",
        "learner": "A",
        "username": "user-A",
        "email": "a@acme.example",
        "learner_status": "inactive",
        "segments": ["nurses"],
        "course": "safety",
        "title": 'Safety, "first"',
        "cycle": 1,
        "sources": ["everyone"],
        "enrolled_at": enrolled.isoformat(),
        "silent": False,
        "activated_at": enrolled.isoformat(),
        "started_at": started.isoformat(),
        "completed_at": completed.isoformat(),
        "result": "passed",
        "withdrawn_at": None,
        "access": False,
    }


def test_r10_a_withdrawn_enrolment_is_a_row_without_sources(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.say("enrolment.withdrawn", course="safety", learners=["A"])

    [row] = lines(world, Tab.ACTIVE)

    assert row["sources"] == []
    assert row["withdrawn_at"] == world.clock.isoformat()
    assert row["access"] is False


def test_a_report_is_safe_to_open_in_a_spreadsheet(world: World) -> None:
    world.has_learners("A", username="=cmd|' /C calc'!A0", email="+a@acme.example")
    world.has_course("safety", "everyone", title="@SUM(1)\nnext line; \\ and “ü”")
    world.clock += timedelta(days=1)

    [row] = list(csv.DictReader(io.StringIO(report(world, Tab.ACTIVE, Format.CSV))))

    assert list(row) == COLUMNS
    assert row["username"] == "'=cmd|' /C calc'!A0"
    assert row["email"] == "'+a@acme.example"
    assert row["title"] == "'@SUM(1)\nnext line; \\ and “ü”"
    assert lines(world, Tab.ACTIVE)[0]["title"] == "@SUM(1)\nnext line; \\ and “ü”"


def test_r31_a_report_holds_nobody_of_another_organisation(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.organisation = "other"
    world.has_organisation()
    world.has_learners("A", username="theirs")
    world.has_course("safety", "everyone")

    assert [row["username"] for row in lines(world, Tab.ACTIVE)] == ["theirs"]
