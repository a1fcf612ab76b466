"""What may be done with an announcement, and what is kept of it: the table of moves, with who, when, from and to."""

import getpass
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tasks.mail.rules import MOVES
from tests.announcements.conftest import Admin, Rollcall
from tests.announcements.counting import adds_up
from tests.world import World

Refusal = Callable[..., str]

#: What an admin may try, by the command that does it.
COMMANDS = {
    "edit": ("edit", "--subject", "Other"),
    "unschedule": ("unschedule",),
    "launch": ("launch", "--now"),
    "pause": ("pause",),
    "resume": ("resume",),
    "cancel": ("cancel",),
    "retry": ("retry-failed",),
}


@pytest.fixture
def draft(world: World, admin: Admin) -> World:
    """A draft for three learners."""
    world.has_learners("A", "B", "C")
    admin("create", "--id", "news", "--subject", "News", "--body", "Hello.", "--everyone", "--by", "Ada")
    return world


def moves(admin: Admin) -> list[tuple[str, str | None, str, str]]:
    """What is kept of the announcement."""
    kept = admin("show", "news", "--history")
    assert [change["at"] for change in kept] == sorted(change["at"] for change in kept)
    return [(change["move"], change["before"], change["after"], change["by"]) for change in kept]


def test_every_move_is_kept_with_who_made_it(draft: World, admin: Admin) -> None:
    me = getpass.getuser()
    draft.mail.on_recipient = lambda address, times: "500 no" if address.startswith("a@") and not times else None
    ahead = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    admin("edit", "news", "--send-at", ahead)
    admin("launch", "news", "--no-check")
    admin("unschedule", "news", "--by", "Grace")
    admin("edit", "news", "--no-send-at")
    admin("launch", "news", "--by", "Grace", "--no-check")
    admin("pause", "news")
    admin("resume", "news")
    draft.comes_to_rest()
    admin("retry-failed", "news")
    draft.comes_to_rest()

    assert moves(admin) == [
        ("create", None, "draft", "Ada"),
        ("edit", "draft", "draft", me),
        ("schedule", "draft", "scheduled", me),
        ("unschedule", "scheduled", "draft", "Grace"),
        ("edit", "draft", "draft", me),
        ("launch", "draft", "sending", "Grace"),
        ("pause", "sending", "paused", me),
        ("resume", "paused", "sending", me),
        ("finish with failures", "sending", "finished with failures", "rollcall"),
        ("retry", "finished with failures", "sending", me),
        ("finish", "sending", "finished", "rollcall"),
    ]
    assert adds_up(draft).accepted == 3


def test_r20_what_an_event_asks_for_and_what_the_clock_does_is_kept_too(world: World, admin: Admin) -> None:
    world.has_learners("A")
    late = datetime.now(UTC) - timedelta(seconds=world.runtime.settings.rollcall_grace_seconds + 60)
    world.announces(send_at=late.isoformat())
    world.settle()
    admin("cancel", "news", "--by", "Ada")
    world.settle()

    assert moves(admin) == [
        ("create", None, "draft", "urn:platform"),
        ("schedule", "draft", "scheduled", "urn:platform"),
        ("pass over", "scheduled", "late", "rollcall"),
        ("cancel", "late", "cancelled", "Ada"),
    ]
    assert [told["state"] for told in world.out("announcement.cancelled")] == ["cancelled"]
    assert world.out("announcement.finished") == []


STATES = sorted({state for pairs in MOVES.values() for pair in pairs.items() for state in pair})


def test_what_the_table_of_moves_does_not_allow_is_refused_and_leaves_no_trace(
    draft: World, rollcall: Rollcall
) -> None:
    for state, (move, words) in itertools.product(STATES, COMMANDS.items()):
        if state in MOVES[move]:
            continue
        draft.execute("UPDATE mailings SET state = :state", state=state)
        done = rollcall(words[0], "news", *words[1:])
        assert done.exit_code == 1, (state, move)
        assert f"the announcement news is {state}" in str(done.exception)
        assert draft.ask("SELECT state FROM mailings") == state
    assert draft.list("SELECT move FROM mailing_changes") == ["create"]


def test_a_move_that_is_undone_is_not_kept(draft: World, admin: Admin, refused: Refusal) -> None:
    admin("launch", "news")
    draft.comes_to_rest()

    why = refused("retry-failed", "news")

    assert why == "nobody of the announcement news can be tried again: nobody is failed"
    assert [move for move, *_ in moves(admin)] == ["create", "launch", "finish"]
    assert draft.progress("news").state == "finished"


def test_r20_what_is_scheduled_anew_for_later_does_not_fire_at_its_former_time(draft: World, admin: Admin) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    admin("edit", "news", "--send-at", soon.isoformat())
    admin("launch", "news")
    admin("unschedule", "news")
    admin("edit", "news", "--send-at", (soon + timedelta(hours=1)).isoformat())
    admin("launch", "news")
    first = "SELECT min(work) FROM work WHERE actor = 'announcements.launch'"
    draft.execute(f"UPDATE work SET due_at = now() WHERE work = ({first})")
    draft.settle()

    assert draft.progress("news").state == "scheduled"
    assert draft.list("SELECT DISTINCT failures FROM work") == [0]
    draft.execute("UPDATE mailings SET send_at = now()")
    draft.execute("UPDATE work SET due_at = now()")
    draft.comes_to_rest()
    assert (draft.progress("news").state, len(draft.mail.taken)) == ("finished", 3)


def test_r20_a_draft_whose_time_has_passed_asks_when_it_is_launched(
    draft: World, admin: Admin, refused: Refusal
) -> None:
    draft.execute("UPDATE mailings SET send_at = '2026-01-15 08:00Z', time_zone = 'Europe/Amsterdam'")

    assert refused("launch", "news") == (
        "Its time, 2026-01-15 09:00 Europe/Amsterdam, has passed: --now sends it all the same, edit gives it another."
    )
    assert admin("launch", "news", "--now") == {"announcement": "news", "state": "sending"}


def test_a_draft_that_is_edited_says_what_it_says_now(draft: World, admin: Admin, refused: Refusal) -> None:
    assert "{{ nonsense }}" in refused("edit", "news", "--subject", "{{ nonsense }}")
    admin("edit", "news", "--subject", "Other news", "--learner", "B", "--policy", "resend")
    admin("launch", "news")
    draft.comes_to_rest()

    [(address, message)] = draft.mail.taken
    assert (address, message["Subject"]) == ("b@acme.example", "Other news")
    assert draft.ask("SELECT policy FROM mailings") == "resend"


def test_the_list_has_counts_and_can_be_of_one_state(draft: World, admin: Admin) -> None:
    draft.becomes("inactive", "B")
    admin("launch", "news")
    draft.comes_to_rest()
    admin("create", "--id", "more", "--subject", "More", "--body", "Hello.", "--everyone")

    more, news = admin("list")

    assert (more["announcement"], more["state"], more["selected"]) == ("more", "draft", 0)
    assert (news["state"], news["selected"], news["accepted"], news["skipped"]) == ("finished", 3, 2, {"inactive": 1})
    assert [one["announcement"] for one in admin("list", "--state", "finished")] == ["news"]
    assert [one["announcement"] for one in admin("list", "--limit", "1")] == ["more"]
