"""The training report: R29, R30, and the contract's columns."""

import json
from datetime import timedelta

import msgspec

from config.words import rfc3339
from tasks.reports import TRAINING, Format, Tab
from tests.reports.reading import blocks, lines, sheet
from tests.world import World

#: As the contract lists them.
COLUMNS = [
    "organisation", "learner", "username", "email", "learner_status", "segments",
    "course", "title", "cycle", "sources", "enrolled_at", "silent",
    "activated_at", "notified_at", "started_at", "completed_at", "result", "withdrawn_at",
    "access",
]  # fmt: skip


def test_r29_each_tab_holds_exactly_its_learners(world: World) -> None:
    world.has_learners("A", "B")
    world.has_learners("C", status="inactive")
    world.has_course("safety", "everyone")

    assert [row["learner"] for row in lines(world, Tab.ACTIVE)] == ["A", "B"]
    assert [row["learner"] for row in lines(world, Tab.ARCHIVED)] == ["C"]

    world.becomes("inactive", "A")

    assert [row["learner"] for row in lines(world, Tab.ACTIVE)] == ["B"]
    assert [row["learner"] for row in lines(world, Tab.ARCHIVED)] == ["A", "C"]


def test_s15_a_deleted_learner_is_in_neither_tab(world: World) -> None:
    world.has_learners("A", "B")
    world.has_course("safety", "everyone")
    world.becomes("inactive", "B")
    world.send(*(world.event("learner.deleted", {"learner": id_}) for id_ in ("A", "B")))

    assert [lines(world, tab) for tab in Tab] == [[], []]


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
        "enrolled_at": rfc3339(enrolled),
        "silent": False,
        "activated_at": rfc3339(enrolled),
        "started_at": rfc3339(started),
        "completed_at": rfc3339(completed),
        "result": "passed",
        "withdrawn_at": None,
        "access": False,
    }


def test_r30_no_part_of_an_inactive_learners_training_is_left_out(world: World) -> None:
    world.has_learners("A")
    for course in ("done", "begun", "gone", "late"):
        world.has_course(course)
    world.asks_to_enrol("done", "A", request="first")
    world.starts("A", "done")
    world.say("course.completed", learner="A", course="done", result="passed")
    world.asks_to_enrol("done", "A", request="refresher", cycle=2)
    world.asks_to_enrol("begun", "A", request="r1")
    world.starts("A", "begun")
    world.asks_to_enrol("gone", "A", request="r2")
    world.starts("A", "gone")
    world.withdraws("gone", "A")
    world.becomes("inactive", "A")
    world.asks_to_enrol("late", "A", request="r3")
    kept = lines(world, Tab.ARCHIVED)

    assert [(row["course"], row["cycle"], row["sources"], row["silent"]) for row in kept] == [
        ("done", 1, ["request:first"], False),
        ("done", 2, ["request:refresher"], False),
        ("begun", 1, ["request:r1"], False),
        ("gone", 1, [], False),
        ("late", 1, ["request:r3"], True),
    ]
    assert [row["course"] for row in kept if row["started_at"]] == ["done", "begun", "gone"]
    assert [(row["course"], row["result"]) for row in kept if row["completed_at"]] == [("done", "passed")]
    assert [row["course"] for row in kept if row["withdrawn_at"]] == ["gone"]

    world.becomes("active", "A")

    assert lines(world, Tab.ARCHIVED) == []
    assert [(row["course"], row["cycle"]) for row in lines(world, Tab.ACTIVE)] == [
        (row["course"], row["cycle"]) for row in kept
    ]


def test_r09_the_segments_of_a_learner_are_those_that_are_known_and_not_left(world: World) -> None:
    world.has_learners("A", "B")
    world.has_course("safety", "everyone")
    for segment in ("nurses", "Night", "left"):
        world.has_segment(segment, "A")
    world.say("segment.joined", segment="only mentioned", learners=["A"])
    world.say("segment.left", segment="left", learners=["A"])

    assert {row["learner"]: row["segments"] for row in lines(world, Tab.ACTIVE)} == {"A": ["Night", "nurses"], "B": []}
    assert {row["learner"]: row["segments"] for row in sheet(world, Tab.ACTIVE)} == {"A": "Night nurses", "B": ""}


def test_r10_sources_are_what_holds_an_enrolment_now(world: World) -> None:
    world.has_learners("A")
    for segment in ("nurses", "Night", "left", "not linked"):
        world.has_segment(segment, "A")
    world.say("segment.left", segment="left", learners=["A"])
    world.has_course("rules", "segments", segments=["nurses", "left", "Night"])
    world.asks_to_enrol("rules", "A", request="r2")
    world.asks_to_enrol("rules", "A", request="R1")
    world.asks_to_enrol("rules", "A", request="again", cycle=2)
    world.has_course("all", "everyone")
    world.asks_to_enrol("all", "A", request="r3")
    world.has_course("unlinked", "segments", segments=["nurses"])
    world.starts("A", "unlinked")
    world.has_course("unlinked", "manual", segments=["nurses"])

    assert {(row["course"], row["cycle"]): row["sources"] for row in lines(world, Tab.ACTIVE)} == {
        ("rules", 1): ["request:R1", "request:r2", "segment:Night", "segment:nurses"],
        ("rules", 2): ["request:again"],
        ("all", 1): ["everyone", "request:r3"],
        ("unlinked", 1): [],
    }


def test_r10_a_withdrawn_enrolment_is_a_row_without_sources(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.say("enrolment.withdrawn", course="safety", learners=["A"])

    [row] = lines(world, Tab.ACTIVE)

    assert row["sources"] == []
    assert row["withdrawn_at"] == rfc3339(world.clock)
    assert row["access"] is False


def test_the_sheet_and_the_lines_say_the_same(world: World) -> None:
    world.has_learners("A", "B", email=None)
    world.has_course("safety", "everyone", title='Safety;  "first", or\nlast \\ “ü”')
    world.clock += timedelta(days=1)
    world.starts("A", "safety")

    assert sheet(world, Tab.ACTIVE) == [
        row
        | {name: f"{row[name][:19]}.000000Z" for name in row if name.endswith("_at") and row[name]}
        | {name: "" for name in row if row[name] is None}
        | {"segments": "", "sources": "everyone", "cycle": "1", "silent": "f", "access": "t"}
        for row in lines(world, Tab.ACTIVE)
    ]


def test_times_have_the_form_of_all_others_and_a_text_that_looks_like_one_stays_as_it_is(world: World) -> None:
    looks = ["2026-01-01T00:00:00+00:00", '"_at":"2026-01-01T00:00:00+00:00"']
    world.clock += timedelta(milliseconds=500)
    world.has_learners("A")
    for title in looks:
        world.has_course(title, "everyone", title=title)

    rows = lines(world, Tab.ACTIVE)

    assert [row["title"] for row in rows] == looks
    assert rows[-1]["enrolled_at"] == rfc3339(world.clock)
    assert rows[-1]["enrolled_at"].endswith(".500000Z")


def test_a_report_goes_out_in_whole_rows_as_soon_as_they_fill_a_block(world: World) -> None:
    world.has_learners("A", "B", "C")
    world.has_course("safety", "everyone")

    *rows, last = blocks(world, TRAINING, Tab.ACTIVE, Format.JSONL, block=1)

    assert [json.loads(row)["learner"] for row in rows] == ["A", "B", "C"]
    assert last == b""
    assert b"".join(blocks(world, TRAINING, Tab.ACTIVE, Format.JSONL)) == b"".join(rows)


def test_r31_a_report_holds_nobody_of_another_organisation(world: World) -> None:
    world.has_learners("A")
    world.has_segment("nurses", "A")
    world.has_course("safety", "everyone")
    world.organisation = "other"
    world.has_organisation()
    world.has_learners("A", username="theirs")
    world.has_course("safety", "segments")

    assert lines(world, Tab.ACTIVE) == []

    world.asks_to_enrol("safety", "A", request="r1")

    [row] = lines(world, Tab.ACTIVE)
    assert (row["username"], row["segments"], row["sources"]) == ("theirs", [], ["request:r1"])
