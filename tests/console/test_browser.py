"""The console in a real Chromium: what scripts add, what the policy of content allows, and what axe finds.

`.ci/browser` installs what it takes. `ROLLCALL_PICTURES=FOLDER` puts a picture of each page there, to be looked at.
"""

from collections.abc import Iterator

import pytest

from tasks.accounts import Role
from tests.console.browser import AXE, CHROMIUM, DRIVER, Browser
from tests.console.conftest import Consoled

pytestmark = pytest.mark.skipif(
    not (DRIVER and CHROMIUM and AXE.exists()), reason="there is no Chromium with its driver and axe: run .ci/browser"
)

USERS = "organisations/acme/users"
PAGES = [
    "organisations",
    USERS,
    f"{USERS}?tab=inactive",
    f"{USERS}?search=nobody-at-all",
    "organisations/acme/learners/l01",
    "organisations/acme/learners/una",
    "preferences",
    "organisations/acme/nothing-here",
]


@pytest.fixture
def window(console: Consoled, chromium: Browser) -> Iterator[Browser]:
    """A browser in which an operator is signed in, and two organisations with people."""
    world = console.world
    world.has_organisation()
    world.send(world.event("organisation.saved", {"name": "Zeta GmbH", "licence": "seats"}, organisation="zeta"))
    world.has_course("safety", title="Safety at work")
    world.has_course("fire", title="Fire drill, and what to do when the alarm is only a test")
    names = [
        "Ann Larsen",
        "Bo de Vries",
        "Zoë O’Neill",
        "\u202eEvil Name",
        "<b>Bold</b> Tag",
        "Ünal Şahin",
        "W" * 150 + " Long",
    ]
    for n in range(60):
        first, _, last = names[n % len(names)].partition(" ")
        world.has_learners(f"l{n:02}", first_name=first, last_name=last)
    world.has_learners("una", email=None, first_name="Una", last_name="Name")
    for course in ("safety", "fire"):
        world.asks_to_enrol(course, "l01", "una")
    world.settle()
    world.starts("l01", "safety")
    world.say("course.completed", learner="l01", course="safety", result="passed")
    world.becomes("inactive", "una", "l03", "l05")
    with chromium.window(f"{console.runtime.endpoints.public_url}/healthz") as opened:
        opened.cookie("rollcall", console.session(Role.OPERATOR, []))
        opened.sized(1280, 900)
        yield opened


def looked_at(
    window: Browser, console: Consoled, looks: list[tuple[str, str, int]], pages: list[str]
) -> dict[str, list[str]]:
    """What is wrong with these pages, so looked at: language, colours, width."""
    found = {}
    for language, colours, width in looks:
        window.emulate(prefers_color_scheme=colours)
        window.sized(width, 900)
        window.cookie("rollcall-language", language)
        for page in pages:
            window.open(f"{console.runtime.endpoints.public_url}/console/{page}")
            name = f"{page}-{language}-{colours}-{width}"
            window.picture(name)
            wide = window.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if violations := [*window.violations(), *([f"wider than the window by {wide}"] if wide > 0 else [])]:
                found[name] = violations
    complaints = [one for one in window.complaints() if "status of 404" not in one and "/healthz" not in one]
    return found | ({"the browser says": complaints} if complaints else {})


def test_a_page_keeps_nobody_out_by_day_on_a_desk_and_by_night_on_a_phone(window: Browser, console: Consoled) -> None:
    assert looked_at(window, console, [("en", "light", 1280)], [USERS]) == {}
    assert looked_at(window, console, [("nl", "dark", 390)], ["organisations/acme/learners/l01"]) == {}


@pytest.mark.slow
def test_no_page_keeps_anybody_out_in_any_language_by_day_and_by_night(window: Browser, console: Consoled) -> None:
    looks = [("en", "light", 1280), ("nl", "dark", 1280), ("fr", "light", 390), ("en", "dark", 390)]

    assert looked_at(window, console, looks, PAGES) == {}


def test_a_real_browser_signs_in_and_out_by_the_forms(window: Browser, console: Consoled) -> None:
    window.open(f"{console.runtime.endpoints.public_url}/console/{USERS}")
    window.click(".account summary")
    window.click(".account button")
    window.wait("Sign in to Rollcall")
    window.type("[name=email]", "nobody@acme.example")
    window.type("[name=password]", "no such password")
    window.click("button")
    window.wait("The address, the password or the code is wrong.")


def test_somebody_is_found_while_one_types_and_made_inactive_by_keys_and_clicks(
    window: Browser, console: Consoled
) -> None:
    window.open(f"{console.runtime.endpoints.public_url}/console/{USERS}")
    window.search("l01@")
    window.wait("1 user shown.")
    assert window.run("return document.activeElement.id + location.search") == "search?tab=active&search=l01%40"
    window.click(".dots summary")
    window.picture("menu")
    window.press("escape")
    assert window.run("return document.querySelector('.dots').open") is False
    window.click("[data-key=l01] th a")
    assert "Access to 2 courses ends." not in window.says
    window.click("[role=switch] + .track")
    window.picture("switch-moved")
    assert "Access to 2 courses ends." in window.says
    window.click(".switching button")
    window.wait("1 user is inactive now.")
    window.picture("switched")
    assert console.world.access("l01") == set()


def test_no_tab_and_no_letter_is_lost_if_somebody_chooses_a_tab_and_types_at_once(
    window: Browser, console: Consoled
) -> None:
    window.open(f"{console.runtime.endpoints.public_url}/console/{USERS}")
    window.run(
        """
        window.field = document.querySelector("#search");
        document.querySelector("#tab-all").click();
        field.focus();
        field.value = "l03@";
        field.dispatchEvent(new Event("input", {bubbles: true}));
        """
    )
    window.wait("1 user shown.")
    assert window.run("return location.search") == "?tab=all&search=l03%40"
    assert window.run("return document.activeElement === field && field.value === 'l03@'"), "it was never taken away"


def test_ticks_stay_across_pages_and_are_sent_together(window: Browser, console: Consoled) -> None:
    window.open(f"{console.runtime.endpoints.public_url}/console/{USERS}?tab=all")
    shown = "return document.querySelector('.bar button[value=inactive]').checkVisibility()"
    assert not window.run(shown), "there is nobody to change"
    window.click("[data-key=l00] input")
    window.click("[data-key=l03] input")
    window.wait("2 ticked, 1 inactive")
    assert window.run(shown)
    window.picture("ticked")
    window.click("[rel=next]")
    window.wait("Previous page")
    assert "2 ticked, 1 inactive" in window.says
    window.click("[data-key=l55] input")
    window.click(".bar button[value=inactive]")
    window.wait("Make 2 users inactive?")
    window.picture("confirm")
    assert "3 are ticked. 1 of them is inactive already" in window.says
    window.click("form.buttons button")
    window.wait("2 users are inactive now.")
    assert "Tick users to change many at once." in window.says
