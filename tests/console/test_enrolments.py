"""R7–R14: the Enrolments section, by forms alone, as a browser without scripts sends them."""

import csv
import io

import pytest

from config.settings import Settings
from tasks.accounts import Role
from tests.console.conftest import Consoled, Visitor

BASE = "/console/organisations/acme"
COURSE = f"{BASE}/courses/c1"


@pytest.fixture(autouse=True)
def _acme(console: Consoled) -> None:
    world = console.world
    world.has_organisation()
    world.has_learners("ann", "bob", "ina")
    world.has_learners("una", email=None)
    world.becomes("inactive", "ina")
    world.has_course("c1")
    world.settle()


def ticks(visitor: Visitor, tab: str, *learners: str) -> Visitor:
    """Tick learners in a tab of the course, and ask what would follow."""
    visitor.open(f"{COURSE}/users?tab={tab}")
    return visitor.send(f"{COURSE}/confirm", *(("learner", one) for one in learners))


def test_courses_are_listed_with_whom_they_enrol_by_rule(console: Consoled) -> None:
    console.world.has_segment("s1")
    console.world.has_course("c2", "segments", segments=["s1"], on_hold=True)
    console.world.has_course("c3", "everyone")
    reader = console.visitor(Role.READER).open("organisations/acme/enrolments")

    for said in ("Course c1 c1 Nobody by hand alone", "Course c2 on hold c2 Segments s1", "Course c3 c3 Everyone"):
        assert said in reader.says
    assert "Confirm" not in reader.open(COURSE).says
    rows = list(csv.DictReader(io.StringIO(reader.open("organisations/acme/enrolments/export").text)))
    assert [(row["course"], row["method"], row["segments"]) for row in rows] == [
        ("c1", "manual", ""),
        ("c2", "segments", "s1"),
        ("c3", "everyone", ""),
    ]


def test_r07_everyone_is_enrolled_once_it_was_said_what_follows(console: Consoled) -> None:
    admin = console.visitor().open(COURSE)
    admin.send(f"{COURSE}/confirm", ("method", "everyone"), leave=frozenset({"method"}))

    assert "Enrol everyone by rule?" in admin.says
    assert "3 active users are enrolled, with access at once." in admin.says
    assert "1 inactive user is enrolled silently" in admin.says
    assert "2 mails are sent." in admin.says
    assert "1 of the enrolled gets no mail: no e-mail address." in admin.says
    assert "If all of them start, 4 credits are used at most." in admin.says
    assert console.world.access("ann") == set(), "nothing is done before it is confirmed"
    admin.send(f"{COURSE}/method")

    assert "The course enrols everyone from now on." in admin.says
    console.world.settle()
    assert [console.world.access(one) for one in ("ann", "una", "ina")] == [{"c1"}, {"c1"}, set()]
    assert console.world.enrolments("ina")["c1"].silent
    console.world.has_learners("new")
    console.world.settle()
    assert console.world.access("new") == {"c1"}, "the method stands"


def test_r10_the_method_is_undone_from_the_message_that_says_it(console: Consoled) -> None:
    admin = console.visitor().open(COURSE)
    admin.send(f"{COURSE}/confirm", ("method", "everyone"), leave=frozenset({"method"})).send(f"{COURSE}/method")
    admin.undo()

    console.world.settle()
    assert console.world.access("ann") == set()
    assert console.world.ask("SELECT method FROM courses") == "manual"
    admin.undo()
    assert "Enrol everyone by rule?" in admin.says, "what would enrol people, and tell them, is shown first"
    assert console.world.ask("SELECT method FROM courses") == "manual"


def test_a_course_that_somebody_else_changed_meanwhile_is_not_changed(console: Consoled) -> None:
    admin = console.visitor().open(COURSE)
    admin.send(f"{COURSE}/confirm", ("method", "everyone"), leave=frozenset({"method"}))
    console.world.has_course("c1", title="Another title")
    admin.send(f"{COURSE}/method")

    assert (admin.status, "It was changed by somebody else" in admin.says) == (409, True)
    assert console.world.ask("SELECT method FROM courses") == "manual"


@pytest.mark.parametrize(
    ("tab", "access", "silent", "said"),
    [
        ("active", {"c1"}, [], "1 is not enrolled: inactive."),
        ("all", {"c1"}, ["ina"], "1 inactive user is enrolled silently"),
        ("inactive", {"c1"}, ["ina"], "1 inactive user is enrolled silently"),
    ],
)
def test_r08_ticks_enrol_by_the_tab_in_which_they_are_made(
    console: Consoled, tab: str, access: set[str], silent: list[str], said: str
) -> None:
    admin = ticks(console.visitor(), tab, "ann", "ina")
    assert "2 users are selected." in admin.says
    assert said in admin.says
    admin.send(f"{COURSE}/enrol")

    assert f"1 enrolled, {'1 enrolled silently, as they are inactive' if silent else '1 not enrolled'}." in admin.says
    assert console.world.access("ann") == access
    assert [one for one in ("ann", "ina") if console.world.enrolments(one) and one in silent] == silent
    assert console.world.access("ina") == set()


def test_r11_who_is_enrolled_already_is_said_and_a_cycle_enrols_anew(console: Consoled) -> None:
    console.world.asks_to_enrol("c1", "ann")
    console.world.settle()
    admin = ticks(console.visitor(), "all", "ann")
    assert "1 is enrolled already: nothing changes" in admin.says
    admin.send(f"{COURSE}/enrol")
    assert "1 enrolled already." in admin.says

    admin.open(f"{COURSE}/users?tab=all")
    admin.send(f"{COURSE}/confirm", ("learner", "ann"), ("cycle", "2"), leave=frozenset({"cycle", "notify"}))
    assert "1 active user is enrolled" in admin.says
    assert "0 mails are sent." in admin.says
    assert "no mail is wanted" in admin.says
    admin.send(f"{COURSE}/enrol")
    assert console.world.list("SELECT cycle FROM enrolments WHERE learner = 1 ORDER BY cycle") == [1, 2]


def test_r13_nobody_ticked_enrols_nobody(console: Consoled) -> None:
    admin = ticks(console.visitor(), "all")

    assert (admin.status, "Nobody is ticked" in admin.says) == (422, True)
    admin.open(COURSE).send(f"{COURSE}/confirm", ("how", "segment"), leave=frozenset({"how", "segment"}))
    assert admin.status == 422


def test_r09_a_segment_is_enrolled_with_its_inactive_members(console: Consoled) -> None:
    console.world.has_segment("s1", "ann", "ina")
    admin = console.visitor().open(COURSE)
    key = admin.text.split('name="key" value="')[1].split('"')[0]
    said = [("key", key), ("how", "segment"), ("segment", "s1"), ("notify", "yes"), ("cycle", "1")]
    admin.open(f"{COURSE}/confirm", said, Sec_Fetch_Site="same-origin")
    assert "1 active user is enrolled" in admin.says
    assert "1 inactive user is enrolled silently" in admin.says
    admin.send(f"{COURSE}/enrol")

    assert "1 enrolled, 1 enrolled silently, as they are inactive." in admin.says
    assert console.world.access("ann") == {"c1"}


def test_all_that_a_search_finds_is_enrolled_at_once(console: Consoled) -> None:
    console.world.has_learners(*(f"found{n:02}" for n in range(60)))
    admin = console.visitor().open(f"{COURSE}/users?tab=all&search=found")
    admin.send(f"{COURSE}/confirm", ("every", "yes"))
    assert "60 active users are enrolled" in admin.says
    admin.send(f"{COURSE}/enrol")

    console.world.settle()
    assert console.world.ask("SELECT count(*) FROM enrolments") == 60


def test_r10_a_withdrawal_is_confirmed_and_can_be_undone(console: Consoled) -> None:
    world = console.world
    world.has_course("c1", "everyone")
    world.settle()
    world.starts("ann", "c1")
    admin = console.visitor().open(COURSE)
    assert "Firstina Lastina ina Inactive" in admin.says
    admin.send(f"{COURSE}/withdraw/confirm", ("learner", "ann"), ("learner", "bob"))
    assert "Withdraw 2 users?" in admin.says
    assert "nothing is given back" in admin.says
    admin.send(f"{COURSE}/withdraw")

    assert "2 users are withdrawn." in admin.says
    assert (world.access("ann"), world.access("bob"), world.access("una")) == (set(), set(), {"c1"})
    mails = world.ask("SELECT count(*) FROM deliveries")
    admin.undo()
    world.settle()
    assert (world.access("ann"), world.access("bob")) == ({"c1"}, {"c1"})
    assert world.ask("SELECT count(*) FROM deliveries") == mails, "undoing sends nothing"


def test_s04_one_cycle_is_withdrawn_from_the_card_of_a_learner(console: Consoled) -> None:
    world = console.world
    world.asks_to_enrol("c1", "ann")
    world.asks_to_enrol("c1", "ann", cycle=2)
    world.settle()
    card = f"{BASE}/learners/ann"
    admin = console.visitor().open(card)
    key = admin.text.split('name="key" value="')[1].split('"')[0]
    said = [("key", key), ("learner", "ann"), ("cycle", "2"), ("back", card)]
    assert 'name="cycle" value="2"' in admin.text
    admin.open(f"{COURSE}/withdraw/confirm", said, Sec_Fetch_Site="same-origin").send(f"{COURSE}/withdraw")

    assert (admin.at, "1 user is withdrawn." in admin.says) == (card, True)
    assert world.list("SELECT cycle FROM enrolments WHERE withdrawn_at IS NOT NULL") == [2]


def test_the_list_of_a_course_has_who_is_enrolled_and_who_was(console: Consoled) -> None:
    world = console.world
    world.has_learners(*(f"l{n:03}" for n in range(60)))
    world.asks_to_enrol("c1", *(f"l{n:03}" for n in range(60)), "ina")
    world.withdraws("c1", "l000")
    world.settle()
    reader = console.visitor(Role.READER).open(COURSE)
    assert reader.text.count("data-key=") == 50
    reader.open(reader.text.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&"))
    assert reader.text.count("data-key=") == 10

    withdrawn = reader.open(f"{COURSE}?state=withdrawn")
    assert withdrawn.text.count("data-key=") == 1
    assert "by name" in withdrawn.says
    rows = list(csv.DictReader(io.StringIO(reader.open(f"{COURSE}/export?state=all").text)))
    assert (len(rows), [row["silent"] for row in rows if row["learner"] == "ina"]) == (61, ["true"])
    world.send(world.event("learner.deleted", {"learner": "l001"}))
    assert "l001" not in reader.open(f"{COURSE}/export").text


class TestOfMany:
    """An organisation that is large, as two learners make a chunk of work."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"rollcall_chunk": 2})

    def test_r14_the_enrolling_of_many_is_followed_until_its_counts_add_up(self, console: Consoled) -> None:
        world = console.world
        admin = console.visitor()
        ticks(admin, "all", "ann", "bob", "ina").send(f"{COURSE}/enrol")
        fanout = world.ask("SELECT max(fanout) FROM fanouts")
        assert admin.at == f"{BASE}/enrolments/{fanout}"
        assert "Enrolling under way" in admin.says
        assert "Enrolling by hand: Course c1" in admin.says
        assert "0 of 3, 0 %" in admin.says
        assert "Under way Enrolling by hand: Course c1" in admin.open("organisations/acme/enrolments").says

        world.settle()
        admin.open(f"{BASE}/enrolments/{fanout}")
        assert "Enrolling is done" in admin.says
        assert "3 of 3, 100 %" in admin.says
        assert "Selected 3 Enrolled 2 Enrolled silently 1" in admin.says
        assert "Under way" not in admin.open("organisations/acme/enrolments").says
        assert admin.open(f"{BASE}/enrolments/{fanout + 1}").status == 404
        assert admin.open(f"{BASE}/enrolments/x").status == 422

    def test_r07_new_rules_for_many_are_followed_and_can_be_undone(self, console: Consoled) -> None:
        admin = console.visitor().open(COURSE)
        admin.send(f"{COURSE}/confirm", ("method", "everyone"), leave=frozenset({"method"})).send(f"{COURSE}/method")
        assert "The course enrols everyone from now on." in admin.says
        assert "New rules of a course: Course c1" in admin.says
        console.world.settle()
        assert console.world.access("ann") == {"c1"}
        admin.undo()
        console.world.settle()
        assert console.world.access("ann") == set()
