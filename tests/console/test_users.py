"""R1, R3, R4, R5, R30: the Users section, by forms alone, as a browser without scripts sends them."""

import csv
import io
import re

import pytest

from tasks.accounts import Role
from tests.console.conftest import Consoled

USERS = "organisations/acme/users"


def card(learner: str) -> str:
    return f"/console/organisations/acme/learners/{learner}"


@pytest.fixture(autouse=True)
def _acme(console: Consoled) -> None:
    world = console.world
    world.has_organisation()
    world.has_learners("ann", "bob")
    world.has_learners("una", email=None)
    world.has_course("c1")
    world.has_course("c2")
    world.has_course("held", on_hold=True)
    for course in ("c1", "c2", "held"):
        world.asks_to_enrol(course, "ann", "una")
    world.settle()


def test_the_tabs_say_how_many_stand_how(console: Consoled) -> None:
    console.world.becomes("inactive", "bob")
    admin = console.visitor()

    active = admin.open("").says
    assert "Active 2 All users 3 Inactive 1" in active
    assert "Firstann Lastann" in active
    assert "Firstbob" not in active
    assert "Firstbob" in admin.open(f"{USERS}?tab=inactive").says
    assert "Firstbob" in admin.open(f"{USERS}?tab=all").says


def test_r03_the_switch_makes_inactive_and_says_before_what_will_follow(console: Consoled) -> None:
    admin = console.visitor().open(card("ann"))

    assert "Access to 2 courses ends." in admin.says
    assert "Nothing is given back" in admin.says
    assert "They get no mail" in admin.says
    admin.send(card("ann"), leave=frozenset({"active"}))

    assert (admin.status, admin.at) == (200, card("ann"))
    assert "1 user is inactive now." in admin.says
    assert "Access to 2 courses begins at once." in admin.says
    assert console.world.access("ann") == set()
    assert "1 user is inactive now." not in admin.open(card("ann")).says, "said once"


def test_r05_a_username_learner_comes_back_and_a_password_is_to_be_handed_over(console: Consoled) -> None:
    console.world.becomes("inactive", "una")
    admin = console.visitor().open(card("una"))

    assert "the old password is void. Set a temporary one and hand it over" in admin.says
    admin.send(card("una"), ("active", "yes"))

    assert "1 signs in by username: set a temporary password and hand it over." in admin.says
    assert console.world.access("una") == {"c1", "c2"}
    console.world.settle()
    assert [one["learner"] for one in console.world.out("learner.password_void")] == ["una"]


def test_r04_by_address_nothing_is_said_of_passwords(console: Consoled) -> None:
    console.world.becomes("inactive", "ann")
    admin = console.visitor().open(card("ann"))

    assert "password" not in admin.says
    admin.send(card("ann"), ("active", "yes"))
    assert "1 user is active now." in admin.says
    assert console.world.access("ann") == {"c1", "c2"}


def test_many_are_ticked_across_pages_and_who_is_inactive_already_is_counted(console: Consoled) -> None:
    console.world.becomes("inactive", "bob")
    admin = console.visitor().open(f"{USERS}?tab=all")
    admin.send(f"{USERS}/confirm", ("learner", "ann"), ("learner", "una"), ("learner", "bob"), ("status", "inactive"))

    assert "Make 2 users inactive?" in admin.says
    assert "3 are ticked. 1 of them is inactive already, and stays so." in admin.says
    assert "Access ends: 4 in all, to 2 courses." in admin.says
    admin.send(f"{USERS}/status")

    assert admin.at == f"/console/{USERS}?tab=all"
    assert "2 users are inactive now." in admin.says
    assert console.world.rows("SELECT DISTINCT who, door, act, outcome FROM audit WHERE outcome = 'done'") == [
        ("admin-acme@acme.example", "console", "learners.status", "done")
    ]


def test_what_is_ticked_is_kept_on_the_next_page_without_a_script(console: Consoled) -> None:
    console.world.has_learners(*(f"l{n:02}" for n in range(60)))
    admin = console.visitor().open(USERS)
    onward = admin.text.split('formaction="')[1].split('"')[0].replace("&amp;", "&")
    key = admin.text.split('name="key" value="')[1].split('"')[0]
    admin.open(onward, [("key", key), ("learner", "ann")], Sec_Fetch_Site="same-origin")

    assert "1 is ticked on other pages." in admin.says
    admin.send(f"{USERS}/confirm", ("learner", "l55"), ("status", "inactive"))
    assert "Make 2 users inactive?" in admin.says


def test_pages_go_both_ways_and_are_links(console: Consoled) -> None:
    console.world.has_learners(*(f"l{n:03}" for n in range(110)))
    admin = console.visitor().open(USERS)
    seen = []

    def go(rel: str) -> None:
        admin.open(admin.text.split(f'rel="{rel}" href="')[1].split('"')[0].replace("&amp;", "&"))

    for way in ("next", "next", "prev", "prev"):
        seen.append(admin.text.split('data-key="')[1].split('"')[0])
        go(way)

    assert seen[1] != seen[2] != seen[0] == admin.text.split('data-key="')[1].split('"')[0]
    assert seen[1] == seen[3]
    assert 'rel="prev"' not in admin.text


def test_a_search_finds_and_says_if_nobody_fits(console: Consoled) -> None:
    admin = console.visitor()

    assert "1 user shown." in admin.open(f"{USERS}?tab=all&search=FIRSTUN").says
    assert "Nobody fits “zoe <b>” here." in admin.open(f"{USERS}?tab=active&search=zoe+%3Cb%3E").says
    assert "Search all users" in admin.says
    assert "Search all users" in admin.open(f"{USERS}?tab=active&search=firstan").says
    assert "Search all users" not in admin.open(f"{USERS}?tab=all&search=firstan").says


def test_r30_the_card_of_an_inactive_learner_shows_all_that_was(console: Consoled) -> None:
    world = console.world
    world.starts("ann", "c1")
    world.say("course.completed", learner="ann", course="c1", result="passed")
    world.becomes("inactive", "ann")
    reader = console.visitor(Role.READER).open(card("ann"))

    for said in ("Course c1", "passed", "kept, closed", "Each change of status", "While inactive", "1 credit"):
        assert said in reader.says
    assert "Confirm" not in reader.says
    assert 'role="switch"' not in reader.text


def test_a_switch_that_somebody_else_moved_meanwhile_changes_nothing(console: Consoled) -> None:
    admin = console.visitor().open(card("ann"))
    console.world.becomes("inactive", "ann")
    admin.send(card("ann"), leave=frozenset({"active"}))

    assert admin.status == 409
    assert "Somebody else was faster" in admin.says
    admin.open(card("bob")).send(card("bob"))
    assert (admin.status, "move the switch first" in admin.says) == (422, True)


def test_nobody_ticked_is_said(console: Consoled) -> None:
    admin = console.visitor().open(USERS)
    admin.send(f"{USERS}/confirm", ("status", "inactive"))

    assert (admin.status, "Nobody is ticked" in admin.says) == (422, True)


@pytest.mark.parametrize("odd", ["a/b?c#d %2F/é", "a/\nb"])
def test_an_id_may_hold_anything(console: Consoled, odd: str) -> None:
    console.world.has_learners(odd)
    admin = console.visitor().open(f"{USERS}?tab=all")
    link = next(part for part in admin.text.split('href="') if "learners/a%2F" in part).split('"')[0]

    assert " ".join(odd.split()) in admin.open(link).says
    admin.send(link.partition("#")[0], leave=frozenset({"active"}))
    assert "1 user is inactive now." in admin.says


def test_r01_what_was_done_is_undone_from_the_message_that_says_it(console: Consoled) -> None:
    world = console.world
    admin = console.visitor().open(card("ann"))
    admin.send(card("ann"), leave=frozenset({"active"}))
    admin.undo()

    assert (admin.at, "1 user is active now." in admin.says) == (card("ann"), True)
    assert world.access("ann") == {"c1", "c2"}
    assert world.ask("SELECT count(*) FROM enrolments WHERE NOT silent AND learner = 1") == 3, "none is made anew (R1)"
    admin.undo()
    assert world.access("ann") == set()

    admin.open(f"{USERS}?tab=all")
    admin.send(f"{USERS}/confirm", ("learner", "ann"), ("learner", "bob"), ("status", "inactive"))
    admin.send(f"{USERS}/status").undo()
    assert world.rows("SELECT id FROM learners WHERE standing = 'inactive'") == [("ann",)], "who was so before stays so"


def test_r05_r12_what_would_void_a_password_or_send_mail_is_not_undone_by_a_click(console: Consoled) -> None:
    admin = console.visitor().open(card("una"))
    admin.send(card("una"), leave=frozenset({"active"}))
    assert "1 user is inactive now." in admin.says
    assert "Undo" not in admin.says

    console.world.has_organisation(reactivation_digest=True)
    admin.open(card("ann")).send(card("ann"), leave=frozenset({"active"}))
    assert "Undo" not in admin.says


def test_all_that_a_list_finds_is_changed_at_once_if_it_still_finds_the_same(console: Consoled) -> None:
    world = console.world
    world.has_learners(*(f"found{n:03}" for n in range(60)))
    admin = console.visitor().open(f"{USERS}?tab=active&search=found")
    admin.send(f"{USERS}/confirm", ("every", "yes"), ("status", "inactive"))
    assert "Make 60 users inactive?" in admin.says
    assert "The list finds 60 users." in admin.says
    assert "found001" not in str(re.findall(r"<input[^>]*>", admin.text))

    world.has_learners("found999")
    admin.send(f"{USERS}/status")
    assert (admin.status, "The list finds others than before" in admin.says) == (409, True)
    assert world.ask("SELECT count(*) FROM learners WHERE standing = 'inactive'") == 0
    admin.open(f"{USERS}?tab=active&search=found").send(f"{USERS}/confirm", ("every", "yes"), ("status", "inactive"))
    admin.send(f"{USERS}/status")
    assert "61 users are inactive now." in admin.says
    assert world.ask("SELECT count(*) FROM learners WHERE standing = 'inactive'") == 61


@pytest.mark.parametrize("back", ["//[", "?search=ann", "/console?search=ann", ""])
def test_a_form_whose_list_was_written_by_hand_is_answered(console: Consoled, back: str) -> None:
    admin = console.visitor().open(USERS)
    said = [("every", "yes"), ("status", "inactive"), ("back", back)]
    admin.send(f"{USERS}/confirm", *said, leave=frozenset({"back"}))

    assert admin.status == 200
    assert ("The list finds 1 user." in admin.says) == ("ann" in back)


def test_a_list_that_finds_too_many_is_refused(console: Consoled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.web.console.choosing.MOST_FOUND", 2)
    admin = console.visitor().open(USERS)
    admin.send(f"{USERS}/confirm", ("every", "yes"), ("status", "inactive"))

    assert (admin.status, "The list finds more than 2" in admin.says) == (422, True)


def test_the_export_has_what_the_list_finds_and_no_formulas(console: Consoled) -> None:
    console.world.has_learners("eve", first_name="=1+1", last_name="Larsén, née O’Neill")
    console.world.becomes("inactive", "bob", "eve")
    reader = console.visitor(Role.READER).open(f"{USERS}?tab=inactive")
    assert f'href="/console/{USERS}/export?tab=inactive"' in reader.text
    reader.open(f"{USERS}/export?tab=inactive")

    assert reader.headers["content-disposition"] == 'attachment; filename="users-inactive.csv"'
    rows = list(csv.DictReader(io.StringIO(reader.text)))
    assert [(row["learner"], row["status"]) for row in rows] == [("bob", "inactive"), ("eve", "inactive")]
    assert (rows[1]["first_name"], rows[1]["last_name"]) == ("'=1+1", "Larsén, née O’Neill")
    assert len(list(csv.reader(io.StringIO(reader.open(f"{USERS}/export?search=ann").text)))) == 2


def test_an_export_is_whole_however_many_pages_its_list_has(console: Consoled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.web.console.choosing.PAGE", 2)
    monkeypatch.setattr("workers.web.console.exporting.BLOCK", 10)

    assert console.visitor().open(f"{USERS}/export?tab=all").text.count("\r\n") == 4
