"""The flows of the help page for admins, in a real Chromium, step by step (R1, R4, R5, R7, R8, R30)."""

from collections.abc import Iterator

import pytest

from tasks.accounts import Role
from tests.console.browser import AXE, CHROMIUM, DRIVER, Browser
from tests.console.conftest import Consoled
from tests.console.test_browser import looked_at

pytestmark = pytest.mark.skipif(
    not (DRIVER and CHROMIUM and AXE.exists()), reason="there is no Chromium with its driver and axe: run .ci/browser"
)

ACME = "organisations/acme"
COURSE = f"{ACME}/courses/safety"
PAGES = [
    f"{ACME}/enrolments",
    COURSE,
    f"{COURSE}?state=withdrawn",
    f"{COURSE}/users?tab=all",
    f"{ACME}/segments",
    f"{ACME}/segments/night",
    f"{ACME}/segments/night/users?tab=active",
    f"{ACME}/learners/ina",
]


@pytest.fixture
def window(console: Consoled, chromium: Browser) -> Iterator[Browser]:
    """A browser in which an admin is signed in, and an organisation with people, a course and a segment."""
    world = console.world
    world.has_organisation()
    world.has_course("safety", title="Safety at work")
    world.has_course("fire", title="Fire drill")
    world.has_learners("ann", "bob")
    world.has_learners("ina", first_name="<b>Ina</b>", last_name="W" * 100)
    world.has_learners("una", email=None, first_name="Una", last_name="Name")
    world.has_segment("night", "ann", "ina")
    world.asks_to_enrol("fire", "ina", "una")
    world.asks_to_enrol("safety", "bob")
    world.settle()
    world.withdraws("safety", "bob")
    world.starts("ina", "fire")
    world.say("course.completed", learner="ina", course="fire", result="passed")
    world.becomes("inactive", "ina", "una")
    with chromium.window(f"{console.runtime.endpoints.public_url}/healthz") as opened:
        opened.cookie("rollcall", console.session(Role.ADMIN, ["acme"]))
        opened.sized(1280, 900)
        yield opened


@pytest.fixture
def go(window: Browser, console: Consoled) -> Iterator["Walk"]:
    yield Walk(window, f"{console.runtime.endpoints.public_url}/console/")
    assert [one for one in window.complaints() if "/healthz" not in one] == []


class Walk:
    """Somebody who clicks from page to page."""

    def __init__(self, window: Browser, base: str) -> None:
        self.window, self.base = window, base

    def to(self, path: str) -> Browser:
        """Open a page."""
        return self.window.open(f"{self.base}{path}")

    def switches(self, learner: str, says: str) -> None:
        """Users, search, three dots, View/Edit user details, the switch, Confirm."""
        self.to(f"{ACME}/users")
        self.window.click("#tab-all")
        self.window.wait_for("#tab-all[aria-current]")
        self.window.search(learner)
        self.window.wait("1 user shown.")
        self.window.click(".dots summary")
        self.window.click(".dots li a")
        self.window.wait("User details")
        self.window.click("[role=switch] + .track")
        assert says in self.window.says
        self.window.picture(f"flow-{learner}")
        self.window.click(".switching button")


def test_r01_r05_deactivate_and_reactivate_by_email_and_by_username(go: Walk, console: Consoled) -> None:
    window, world = go.window, console.world
    go.switches("bob", "They get no mail")
    window.wait("1 user is inactive now.")
    window.click(".flash button")
    window.wait("1 user is active now.")

    go.switches("ina", "Access to 1 course begins at once.")
    window.wait("1 user is active now.")
    assert "password" not in window.says
    assert world.access("ina") == {"fire"}
    go.switches("una", "the old password is void. Set a temporary one and hand it over.")
    window.wait("set a temporary password and hand it over.")
    assert world.access("una") == {"fire"}


def test_r07_everyone_and_what_follows_is_seen_as_it_happens(go: Walk, console: Consoled) -> None:
    window = go.to(COURSE)
    window.click("[name=method][value=everyone]")
    window.click(".method button")
    window.wait("Enrol everyone by rule?")
    window.picture("flow-everyone")
    assert "inactive users are enrolled silently" in window.says
    window.click("form.buttons button")
    window.wait("The course enrols everyone from now on.")
    console.world.settle()
    assert console.world.access("ann") == {"safety"}
    assert console.world.enrolments("ina")["safety"].silent


def test_r08_tick_boxes_in_both_tabs(go: Walk, console: Consoled) -> None:
    window = go.to(COURSE)
    window.click("[href$='/users?tab=active']")
    window.wait("only users who are active are enrolled")
    window.click("[data-key=ann] input")
    window.wait("1 ticked, 0 inactive")
    window.click("#tab-all")
    window.wait("Inactive users whom you tick here are enrolled silently")
    window.click("[data-key=ina] input")
    window.wait("1 ticked, 1 inactive")
    window.click(".bar button:not(.link)")
    window.wait("1 inactive user is enrolled silently")
    window.click("form.buttons button")
    window.wait("1 enrolled silently, as they are inactive.")
    assert console.world.access("ina") == set()

    go.to(f"{COURSE}/users?tab=active")
    window.wait("1 ticked, 0 inactive")
    window.click(".bar button:not(.link)")
    window.wait("1 active user is enrolled, with access at once.")
    window.click("form.buttons button")
    window.wait("1 enrolled.")
    assert console.world.access("ann") == {"safety"}


def test_r30_the_history_of_an_inactive_learner_is_seen_and_kept_up_by_itself(go: Walk, console: Consoled) -> None:
    window = go.to(f"{ACME}/users?tab=inactive")
    window.click("[data-key=ina] th a")
    window.wait("Training history")
    for said in ("Fire drill", "passed", "kept, closed", "Status history"):
        assert said in window.says
    go.to(f"{ACME}/users?tab=active")
    window.run("document.querySelector('#search').focus()")
    console.world.becomes("inactive", "ann")
    window.wait("The list has changed: show it as it is now")
    assert window.run("return document.querySelector('[data-part=count-inactive]').textContent") == "3"
    assert window.run("return document.activeElement.id") == "search", "nothing moves, and the focus stays"
    assert window.run("return document.querySelectorAll('[data-key]').length") == 2


def test_no_page_of_enrolments_or_segments_keeps_anybody_out(window: Browser, console: Consoled) -> None:
    assert looked_at(window, console, [("en", "light", 1280)], [COURSE, f"{ACME}/segments/night"]) == {}
    assert looked_at(window, console, [("nl", "dark", 390)], [f"{COURSE}/users?tab=all", f"{ACME}/enrolments"]) == {}


@pytest.mark.slow
def test_no_page_of_enrolments_or_segments_keeps_anybody_out_however_it_is_read(
    window: Browser, console: Consoled
) -> None:
    looks = [("en", "light", 1280), ("nl", "dark", 1280), ("fr", "light", 390), ("en", "dark", 390)]

    assert looked_at(window, console, looks, PAGES) == {}
