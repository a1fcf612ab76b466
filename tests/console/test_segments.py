"""R9, R10: the Segments section, by forms alone, as a browser without scripts sends them."""

import csv
import io

import pytest

from tasks.accounts import Role
from tests.console.conftest import Consoled

BASE = "/console/organisations/acme"
SEGMENT = f"{BASE}/segments/s1"


@pytest.fixture(autouse=True)
def _acme(console: Consoled) -> None:
    world = console.world
    world.has_organisation()
    world.has_learners("ann", "bob", "ina")
    world.becomes("inactive", "ina")
    world.has_segment("s1", "ann", "ina")
    world.has_course("c1")
    world.settle()


def test_r09_inactive_members_stay_and_are_shown_as_inactive(console: Consoled) -> None:
    reader = console.visitor(Role.READER).open(SEGMENT)

    assert "1 active, 1 inactive, who stays in the segment" in reader.says
    assert "Firstann Lastann ann ann@acme.example Active" in reader.says
    assert "Firstina Lastina ina ina@acme.example Inactive" in reader.says
    assert "Firstann" not in reader.open(f"{SEGMENT}?tab=inactive").says
    assert "Confirm" not in reader.says
    rows = list(csv.DictReader(io.StringIO(reader.open(f"{SEGMENT}/export").text)))
    assert [(row["learner"], row["status"]) for row in rows] == [("ann", "active"), ("ina", "inactive")]


def test_a_segment_is_made_and_named_and_its_name_is_undone(console: Consoled) -> None:
    admin = console.visitor().open("organisations/acme/segments")
    admin.send(f"{BASE}/segments", ("segment", "night"), ("name", "Night shift"))
    assert (admin.at, "The segment is saved." in admin.says) == (f"{BASE}/segments/night", True)

    admin.open("organisations/acme/segments")
    assert "Night shift night" in admin.says
    admin.send(f"{BASE}/segments", ("segment", "s1"), ("name", "Taken"))
    assert (admin.status, "There is a segment with this id already" in admin.says) == (409, True)

    admin.open(SEGMENT).send(f"{SEGMENT}/name", ("name", "Ones"), leave=frozenset({"name"}))
    assert console.world.ask("SELECT name FROM segments WHERE id = 's1'") == "Ones"
    admin.undo()
    assert console.world.ask("SELECT name FROM segments WHERE id = 's1'") == "Segment s1"


def test_r10_members_join_and_leave_once_it_was_said_what_follows(console: Consoled) -> None:
    world = console.world
    world.has_course("c1", "segments", segments=["s1"])
    world.settle()
    assert (world.access("ann"), world.access("bob")) == ({"c1"}, set())
    admin = console.visitor().open(f"{SEGMENT}/users?tab=all")
    admin.send(f"{SEGMENT}/join", ("learner", "bob"))
    assert "Add 1 user to the segment?" in admin.says
    assert "These courses enrol them" in admin.says
    assert world.access("bob") == set(), "nothing is done before it is confirmed"
    admin.send(f"{SEGMENT}/join")
    assert "1 user joined the segment." in admin.says
    assert world.access("bob") == {"c1"}

    admin.undo()
    assert "1 user left the segment." in admin.says
    assert "Undo" not in admin.says, "to join again would send mail"
    assert world.access("bob") == set()
    admin.send(f"{SEGMENT}/leave", ("learner", "ann"))
    assert "is withdrawn: Course c1" in admin.says
    admin.send(f"{SEGMENT}/leave")
    assert world.access("ann") == set()


def test_r10_a_course_is_linked_and_unlinked_once_it_was_said_what_follows(console: Consoled) -> None:
    world = console.world
    admin = console.visitor().open(SEGMENT)
    admin.send(f"{SEGMENT}/link", ("course", "c1"))
    assert "Enrol the members of segments by rule?" in admin.says
    assert "1 active user is enrolled" in admin.says
    assert "1 inactive user is enrolled silently" in admin.says
    admin.send(f"{BASE}/courses/c1/method")
    world.settle()
    assert world.access("ann") == {"c1"}

    admin.open(SEGMENT)
    assert "Course c1" in admin.says
    admin.send(f"{BASE}/courses/c1/confirm")
    assert "2 are withdrawn, as no rule holds their enrolments any more." in admin.says
    admin.send(f"{BASE}/courses/c1/method")
    world.settle()
    assert world.access("ann") == set()
    assert world.ask("SELECT method FROM courses") == "manual"


def test_unlinking_keeps_the_other_segments_of_a_course(console: Consoled) -> None:
    console.world.has_segment("s2", "bob")
    console.world.has_course("c1", "segments", segments=["s1", "s2"])
    admin = console.visitor().open(SEGMENT)
    admin.send(f"{BASE}/courses/c1/confirm").send(f"{BASE}/courses/c1/method")

    assert console.world.rows(
        """
        SELECT c.method, s.id FROM courses c JOIN course_segments USING (organisation, course)
        JOIN segments s USING (organisation, segment)
        """
    ) == [("segments", "s2")]
