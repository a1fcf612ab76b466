"""Announcements in a real Chromium: a mistake is seen, a preview, the launch, its progress, and a retry."""

import threading
from collections.abc import Iterator

import pytest

from tests.console.browser import AXE, CHROMIUM, DRIVER, LOOK, Browser
from tests.console.conftest import Consoled
from tests.workers.deployment import until

pytestmark = pytest.mark.skipif(
    not (DRIVER and CHROMIUM and AXE.exists()), reason="there is no Chromium with its driver and axe: run .ci/browser"
)

SEEN = "return document.querySelector('[data-frames] iframe:not(.coming)').name"


@pytest.fixture
def window(console: Consoled, chromium: Browser) -> Iterator[Browser]:
    """A browser in which an admin is signed in, and learners."""
    world = console.world
    world.has_organisation()
    world.has_learners("ann", "bob", "cid")
    world.has_segment("night", "ann")
    world.becomes("inactive", "cid")
    visitor = console.visitor()
    with chromium.window(f"{console.runtime.endpoints.public_url}/healthz") as opened:
        opened.cookie("rollcall", visitor.cookies["rollcall"])
        opened.sized(1280, 1000)
        yield opened


def pictured(window: Browser, name: str) -> dict[str, list[str]]:
    """What axe finds wrong with a page, by day on a desk and by night on a phone."""
    found = {}
    for colours, width in (("light", 1280), ("dark", 390)):
        window.emulate(prefers_color_scheme=colours)
        window.sized(width, 1000)
        window.picture(f"{name}-{colours}-{width}")
        wide = window.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wrong := [*window.violations(), *([f"wider than the window by {wide}"] if wide > 0 else [])]:
            found[f"{name} {colours} {width}"] = wrong
    window.emulate(prefers_color_scheme="light")
    window.sized(1280, 1000)
    return found


def _written(window: Browser, console: Consoled) -> dict[str, list[str]]:
    """Write an announcement with a mistake, mend it, and look at it; what axe finds wrong meanwhile."""
    wrong = dict[str, list[str]]()
    window.open(f"{console.runtime.endpoints.public_url}/console/organisations/acme/announcements")
    wrong |= pictured(window, "announcements-none")
    window.click("a.button")
    window.type("#subject", "News of July")
    window.type("#body", "Hello\n{{ nick }}")
    window.wait("Line 2: {{ nick }} is not a merge field.")
    assert window.run("return document.querySelector('#body').getAttribute('aria-invalid')") == "true"
    assert window.run("return document.querySelector('.marked mark').textContent") == "{{ nick }}"
    wrong |= pictured(window, "writing-mistake")
    window.click("[data-line]")
    assert window.run("return String(getSelection())") == "{{ nick }}"
    window.click(".insert summary")
    window.click("[data-insert*=first_name]")
    assert (
        window.run(
            "const text = document.activeElement; return text.value.slice(text.selectionStart, text.selectionEnd)"
        )
        == "…"
    )
    window.wait("As read by ann")
    assert "2 users will get it." in window.says
    first, steps = window.run(SEEN), window.run("return history.length")
    window.click("[name=view][value=dark] + span")
    until(lambda: window.run(SEEN) != first, "another view is shown", look=LOOK)
    window.click("[name=to][value=segments]")
    window.wait("0 users will get it.")
    window.click("[name=segment][value=night]")
    window.wait("1 user will get it.")
    window.click("[name=to][value=everyone]")
    window.wait("2 users will get it.")
    assert window.run("return history.length") == steps, "a preview is no step to go back"
    wrong |= pictured(window, "writing")
    return wrong


def test_somebody_writes_sees_the_mistake_previews_launches_watches_and_retries(
    window: Browser, console: Consoled
) -> None:
    world, wrong = console.world, dict[str, list[str]]()
    world.mail.on_recipient = lambda address, _times: "500 not now" if address.startswith("bob@") else None
    wrong |= _written(window, console)
    window.click("[name=then][value=launch]")
    window.wait("Send it to 2 users?")
    wrong |= pictured(window, "launch")
    window.click("button[value=now]")
    window.wait("It is on its way to 2 users.")
    window.wait("1 of 3, 33 %")
    worker = threading.Thread(target=world.comes_to_rest)
    worker.start()
    window.wait("finished with failures")
    worker.join()
    window.wait("Retry the 1 failed")
    wrong |= pictured(window, "finished")
    window.click("#n-failed")
    window.wait("500 not now")
    wrong |= pictured(window, "recipients")
    world.mail.reset()
    window.do("back")
    window.click("#act-retry")
    window.wait("1 mail is sent again.")
    world.comes_to_rest()
    window.wait("3 of 3, 100 %")
    window.wait("2 accepted by the mail server")

    assert world.mail.recipients == ["bob@acme.example"]
    assert wrong == {}
    # axe speaks to frames, which hear nothing.
    known = ("healthz", "'postMessage'")
    assert [one for one in window.complaints() if not any(part in one for part in known)] == []
