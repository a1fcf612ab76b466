"""What is said of mail whose deliveries are no longer kept: its counts hold, and nothing is made up; R18, R35."""

from collections.abc import Callable

import pytest

from config.errors import Conflict
from tasks import verification
from tasks.acts import announcements, explaining, launching, learners, suppressions
from tasks.acts.announcements import OneAnnouncement, RecipientsExport, RecipientsPage
from tasks.acts.explaining import LearnerExplained
from tasks.acts.launching import Retry, Settling
from tasks.acts.learners import OneLearner
from tasks.acts.suppressions import SuppressionsChosen
from tasks.bounces import Arrived, Ignored, record_bounce
from tasks.mail import ReturnPaths
from tests.acts.doing import do
from tests.announcements.conftest import Admin, Rollcall, admin, environment, rollcall
from tests.bounces import reports
from tests.console.conftest import Consoled, console
from tests.retention.months import ages, keep
from tests.world import World

__all__ = ["admin", "console", "environment", "rollcall"]


@pytest.fixture(autouse=True)
def old(months: None, world: World) -> World:
    """An announcement and notices that were dealt with so long ago that their deliveries are dropped: of the
    announcement one was accepted, one failed and suppressed the address, and one is uncertain."""
    world.has_learners("A", "B", "C")
    world.has_course("safety", "everyone")
    world.settle()
    world.mail.on_recipient = lambda address, _times: "550 no such user" if address.startswith("b@") else None
    world.mail.hangs_up = lambda address: address.startswith("c@")
    world.announces("old")
    world.comes_to_rest()
    ages(world, 410)
    return world


def drop(world: World) -> None:
    before = world.progress("old")
    assert (before.selected, before.accepted, before.failed, before.uncertain) == (3, 1, 1, 1)
    keep(world)
    assert world.ask("SELECT count(*) FROM deliveries") == 0
    assert world.progress("old") == before


@pytest.mark.parametrize(
    "asks",
    [
        lambda world: do(world, announcements.recipients, RecipientsPage("old")),
        lambda world: do(world, announcements.recipients, RecipientsPage("old", search="a")),
        lambda world: do(world, announcements.export, RecipientsExport("old")),
        lambda world: do(world, launching.retry, Retry("old")),
        lambda world: do(world, launching.settle, Settling("old", sent=True, why="the log")),
        lambda world: do(world, suppressions.remove, SuppressionsChosen(mailing="old")),
    ],
)
def test_r35_whoever_asks_who_got_it_is_told_that_this_is_no_longer_kept(
    world: World, asks: Callable[[World], object]
) -> None:
    drop(world)
    with pytest.raises(
        Conflict, match=r"it is no longer kept who got the announcement old: it ended on \d{4}-\d\d-\d\d"
    ):
        asks(world)


def test_r35_its_counts_are_shown_and_that_it_is_not_kept_who_got_it(
    world: World, admin: Admin, rollcall: Rollcall, console: Consoled
) -> None:
    assert do(world, announcements.show, OneAnnouncement("old")).recipients_kept
    drop(world)

    shown = do(world, announcements.show, OneAnnouncement("old"))
    assert (shown.selected, shown.failed, shown.recipients_kept) == (3, 1, False)
    assert "It is no longer kept who got it" in rollcall("show", "old").stdout
    assert "no longer kept" in str(rollcall("recipients", "old").exception)
    assert admin("retry-failed", "old") is None
    page = console.visitor().open("organisations/acme/announcements/old")
    assert ("Retry the" in page.says, "Settle the" in page.says) == (False, False)
    page.open("organisations/acme/announcements/old/recipients")
    assert "It is no longer kept who got it." in page.says
    assert "There is no such recipient" not in page.says


def test_r35_an_announcement_to_nobody_is_not_called_forgotten(world: World) -> None:
    world.announces("nobody", audience={"learners": []})
    world.settle()
    assert do(world, announcements.show, OneAnnouncement("nobody")).recipients_kept
    assert do(world, announcements.recipients, RecipientsPage("nobody")).items == []


def test_r30_a_learners_history_says_where_it_is_no_longer_kept(world: World) -> None:
    assert len(do(world, learners.show, OneLearner("A")).mail) == 2
    drop(world)

    shown = do(world, learners.show, OneLearner("A"))
    assert shown.mail == []
    assert [one.course for one in shown.enrolments] == ["safety"]
    about_course = do(world, explaining.learner, LearnerExplained("A", "safety"))
    assert [one.what for one in about_course.steps if "mail" in one.what] == ["mail no longer kept"]
    about_mail = do(world, explaining.learner, LearnerExplained("A", announcement="old"))
    assert (about_mail.because, about_mail.rules) == ("mail no longer kept", ["R35"])


def test_r21_what_comes_back_so_late_is_of_a_mail_that_nobody_knows(world: World) -> None:
    sender = world.mail.senders["a@acme.example"][-1]
    drop(world)
    found = world.runtime.endpoints
    returns = ReturnPaths(found.bounce_address, found.secret_key)
    came = reports.postfix(sender, "a@acme.example", status="5.1.1")
    arrived = Arrived(came.sender, sender, came.message)
    assert record_bounce(world.runtime, returns, arrived) is Ignored.UNMATCHED
    assert world.ask("SELECT count(*) FROM bounces") == 0


def test_r35_all_that_must_hold_holds_and_a_learner_is_erased_and_exported_all_the_same(world: World) -> None:
    drop(world)
    for _ in range(2):
        with world.about() as (connection, organisation):
            found = [breach for some in verification.of_organisation(connection, organisation) for breach in some or ()]
        assert found == []
        world.say("learner.deleted", learner="A")
        world.settle()
    assert do(world, announcements.show, OneAnnouncement("old")).selected == 3
