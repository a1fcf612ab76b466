"""WCAG 2.1.1: whatever an admin does in the console is done by keys alone, in a real Chromium."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.accounts import Role
from tests.console.browser import AXE, CHROMIUM, DRIVER, Browser, browser
from tests.console.conftest import Consoled
from tests.workers.deployment import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (DRIVER and CHROMIUM and AXE.exists()), reason="there is no Chromium with its driver: run .ci/browser"
    ),
]

#: Presses of the tab key after which what is looked for is not on the page.
MOST = 150


class Keys:
    """Somebody who has no mouse."""

    def __init__(self, window: Browser) -> None:
        self._window = window

    def to(self, selector: str) -> "Keys":
        """Press the tab key until this has the focus."""
        for _ in range(MOST):
            if self._window.run("return document.activeElement.matches(arguments[0])", selector):
                return self
            self._window.press("tab")
        raise AssertionError(f"no key leads to {selector}")

    def press(self, key: str) -> "Keys":
        """Press a key where the focus is."""
        self._window.press(key)
        return self

    def write(self, text: str) -> "Keys":
        """Write where the focus is."""
        self._window.keys(text)
        return self

    def section(self, name: str) -> "Keys":
        """Follow the navigation to a section."""
        self.to(f"nav.sections a[href$='/{name}']").press("enter")
        self._window.wait_for(f"nav.sections a[href$='/{name}'][aria-current]")
        return self

    def tab(self, name: str) -> "Keys":
        """Open a tab of a list."""
        self.to(f"#tab-{name}").press("enter")
        self._window.wait_for(f"#tab-{name}[aria-current]")
        return self

    def read(self, text: str) -> "Keys":
        """Wait until this can be read."""
        self._window.wait(text)
        return self

    @property
    def says(self) -> str:
        """What can be read."""
        return self._window.says


@pytest.fixture
def window(console: Consoled) -> Iterator[Browser]:
    """A browser in which an admin is signed in, on the Users page."""
    world = console.world
    world.has_organisation()
    world.has_learners("ann", "bob", "cid")
    world.has_course("safety", title="Safety at work")
    world.becomes("inactive", "cid")
    with browser() as opened:
        opened.open(f"{console.runtime.endpoints.public_url}/healthz")
        opened.cookie("rollcall", console.session(Role.ADMIN, ["acme"]))
        opened.sized(1280, 900)
        opened.open(f"{console.runtime.endpoints.public_url}/console/organisations/acme/users")
        yield opened


@pytest.fixture
def keys(window: Browser) -> Keys:
    """Its keys."""
    return Keys(window)


def test_r03_a_user_is_found_and_made_inactive_by_keys_alone(keys: Keys, console: Consoled) -> None:
    keys.to("#search").write("ann@").read("1 user shown.")
    keys.to("[data-key=ann] .dots summary").press("enter").press("tab").press("enter")
    keys.read("Status history").to("[role=switch]").press("space").read("If you make this user inactive")
    keys.to(".switching button").press("enter").read("1 user is inactive now.")

    assert console.world.list("SELECT id FROM learners WHERE standing = 'inactive' ORDER BY id") == ["ann", "cid"]


def test_r07_r08_everyone_and_two_by_their_ticks_are_enrolled_by_keys_alone(keys: Keys, console: Consoled) -> None:
    courses = "/console/organisations/acme/courses/safety"
    keys.to("nav.sections a[href$='/enrolments']").press("enter").read("Safety at work")
    keys.to(f"main a[href='{courses}']").press("enter").read("Enrol by hand")
    keys.to("main a[href*='/users']").press("enter").read("Tick users")
    keys.to("#tab-all").press("enter").read("3 users shown.")
    keys.to("[data-key=ann] input").press("space").to("[data-key=cid] input").press("space").read(
        "2 ticked, 1 inactive"
    )
    keys.to(".bar button").press("enter").read("Enrol these users?").to("form.buttons button").press("enter")
    keys.read("1 enrolled silently").to("[name=method]").press("up").press("up")
    keys.to("main form[action$='/confirm'] button").press("enter").read("Enrol everyone by rule?")
    keys.to("form.buttons button").press("enter").read("The course enrols everyone from now on.")
    console.world.settle()

    assert console.world.ask("SELECT count(*) FROM enrolments") == 3


def test_r16_an_announcement_is_written_launched_and_cancelled_by_keys_alone(keys: Keys, console: Consoled) -> None:
    keys.to("nav.sections a[href$='/announcements']").press("enter").read("There are no announcements yet.")
    keys.to("main a[href$='/drafts/new']").press("enter").read("New announcement")
    keys.to("[name=subject]").write("News").to("[name=body]").write("Hello.")
    keys.to("button[value=launch]").press("enter").read("Send it to 2 users?")
    keys.to("main form button").press("enter").read("It is on its way to 2 users.")
    keys.to("#act-cancel summary").press("enter").read("This is for good.")
    keys.to("#act-cancel button").press("enter").read("It is cancelled")

    assert console.world.list("SELECT state FROM mailings WHERE kind = 'announcement'") == ["cancelled"]


@pytest.mark.parametrize(("who", "says"), [("cid", "1 user is active now."), ("una", "set a temporary password")])
def test_r04_r05_a_user_of_either_kind_is_made_active_by_keys_alone(
    who: str, says: str, keys: Keys, console: Consoled
) -> None:
    world = console.world
    world.has_learners("una", email=None)
    world.asks_to_enrol("safety", who)
    world.becomes("inactive", "una")
    world.settle()

    keys.section("users").tab("inactive").to(f"[data-key={who}] th a").press("enter").read("Status history")
    keys.to("[role=switch]").press("space").read("Access to 1 course begins at once.")
    keys.to(".switching button").press("enter").read(says)

    assert world.access(who) == {"safety"}
    assert ("set a temporary password" in keys.says) == (who == "una")


def test_r01_many_are_made_inactive_and_active_again_by_keys_alone(keys: Keys, console: Consoled) -> None:
    keys.to("[data-key=ann] input").press("space").to("[data-key=bob] input").press("space").read("2 ticked")
    keys.to(".bar button[value=inactive]").press("enter").read("Make 2 users inactive?").to(
        "form.buttons button"
    ).press("enter")
    keys.read("2 users are inactive now.")
    assert console.world.ask("SELECT count(*) FROM learners WHERE standing = 'active'") == 0

    keys.to(".flash button").press("enter").read("2 users are active now.")
    assert console.world.list("SELECT id FROM learners WHERE standing = 'inactive'") == ["cid"]


def test_r08_the_active_are_ticked_and_enrolled_by_keys_alone(keys: Keys, console: Consoled) -> None:
    keys.section("enrolments").to("main a[href$='/courses/safety']").press("enter").read("Enrol by hand")
    keys.to("main a[href*='/users']").press("enter").read("Tick users")
    keys.tab("all").tab("active").to("[data-key=ann] input").press("space").read("1 ticked, 0 inactive")
    keys.to(".bar button").press("enter").read("with access at once").to("form.buttons button").press("enter")
    keys.read("1 enrolled.")

    assert (console.world.access("ann"), console.world.access("bob")) == ({"safety"}, set())


def test_r29_the_archive_is_exported_by_keys_alone(
    keys: Keys, window: Browser, console: Consoled, tmp_path: Path
) -> None:
    console.world.asks_to_enrol("safety", "ann", "cid")
    console.world.settle()
    kept = {"behavior": "allow", "downloadPath": str(tmp_path)}
    window.do("goog/cdp/execute", cmd="Browser.setDownloadBehavior", params=kept)

    keys.section("reports").to(".tabs a[href*=archived]").press("enter").read("Inactive users")
    keys.to("a[download]").press("enter")
    file = tmp_path / "training-archived.csv"
    until(file.exists, "the file is there")

    with file.open(encoding="utf-8") as opened:
        assert [row["learner"] for row in csv.DictReader(opened)] == ["cid"]


def test_r30_the_history_of_an_inactive_learner_is_read_by_keys_alone(
    keys: Keys, window: Browser, console: Consoled
) -> None:
    console.world.asks_to_enrol("safety", "cid")
    console.world.settle()

    keys.section("users").tab("inactive").to("[data-key=cid] .dots summary").press("enter")
    keys.to("[data-key=cid] li a[href$='#training']").press("enter").read("Training history")

    for said in ("Safety at work", "closed", "silently", "Status history"):
        keys.read(said)
    assert "Inactive" in window.run("return document.querySelector('[aria-labelledby=history] tbody').innerText")
