"""Reports, seats and imports in a real Chromium: the export of the archive, an import from drop to done, and what axe
finds. See `test_browser`."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.accounts import Role
from tests.console.browser import AXE, CHROMIUM, DRIVER, Browser
from tests.console.conftest import Consoled
from tests.console.test_browser import looked_at
from tests.workers.deployment import until

pytestmark = pytest.mark.skipif(
    not (DRIVER and CHROMIUM and AXE.exists()), reason="there is no Chromium with its driver and axe: run .ci/browser"
)

ACME = "organisations/acme"
NOW = datetime.now(UTC)
PAGES = [
    f"{ACME}/reports",
    f"{ACME}/reports?days=365&course=safety",
    f"{ACME}/reports?tab=archived",
    f"{ACME}/seats",
    f"{ACME}/seats/ledger",
    f"{ACME}/seats/ledger?review=yes",
    f"{ACME}/seats/ledger?learner=nobody",
    f"{ACME}/imports",
    f"{ACME}/imports/1",
    f"{ACME}/imports/2",
]
FILE = """\
id,username,email,status,first_name
N1,n1,n1@acme.example,active,Zoë
N2,,n2@acme.example,blue,Søren
,,,active,
"""


@pytest.fixture
def window(console: Consoled, chromium: Browser) -> Iterator[Browser]:
    """A browser in which an admin is signed in, of an organisation in which much happened."""
    world = console.world
    begins, ends = (NOW - timedelta(days=120)).isoformat(), (NOW + timedelta(days=245)).isoformat()
    world.has_organisation("credits", 90, licence_starts=begins, licence_ends=ends)
    early = NOW - timedelta(days=110)
    names = ["Ann Larsen", "Bo de Vries", "Zoë O’Neill", "\u202eEvil Name", "<b>Bold</b> Tag", "W" * 150 + " Long"]
    learners = [f"l{n:02}" for n in range(30)]
    for n, learner in enumerate(learners):
        first, _, last = names[n % len(names)].partition(" ")
        world.has_learners(learner, at=early, first_name=first, last_name=last)
    world.has_course("safety", title="Safety at work", at=early, cost=2)
    world.has_course("fire", title="Fire drill, and what to do when the alarm is only a test", at=early, on_hold=True)
    world.has_course("evil", title="\u202e<b>evil</b>" + "W" * 100, at=early)
    world.has_segment("nurses", *learners[:12], at=early)
    world.say("segment.saved", segment="night", name="<i>Night shift</i>")
    for course in ("safety", "fire"):
        world.asks_to_enrol(course, *learners, at=early + timedelta(days=1))
    world.settle()
    for n, learner in enumerate(learners[:24]):
        world.starts(learner, "safety", at=NOW - timedelta(days=100 - 4 * n))
        if n % 3:
            done = NOW - timedelta(days=98 - 4 * n)
            world.say("course.completed", at=done, learner=learner, course="safety", result="passed")
    world.starts("l07", "fire", at=NOW - timedelta(days=8))
    world.becomes("inactive", *learners[20:26], at=NOW - timedelta(days=3))
    with chromium.window(f"{console.runtime.endpoints.public_url}/healthz") as opened:
        opened.cookie("rollcall", console.session(Role.ADMIN, ["acme"]))
        opened.sized(1280, 900)
        yield opened


def chosen(window: Browser, path: Path) -> None:
    """Choose a file, as one that is dropped is."""
    window.type("#file", str(path))
    window.click("main form button")


def test_r29_the_archive_is_opened_and_exported(window: Browser, console: Consoled, tmp_path: Path) -> None:
    kept = {"behavior": "allow", "downloadPath": str(tmp_path)}
    window.do("goog/cdp/execute", cmd="Browser.setDownloadBehavior", params=kept)
    window.open(f"{console.runtime.endpoints.public_url}/console/{ACME}/reports")
    assert window.violations() == []
    window.click(".plot details summary")
    window.picture("reports-table")
    window.click(".tabs a:nth-child(2)")
    window.wait("Inactive users")
    window.picture("archived")
    window.click("a[download]")
    file = tmp_path / "training-archived.csv"
    until(file.exists, "the file is there")
    with file.open(encoding="utf-8") as opened:
        rows = [*csv.DictReader(opened)]

    assert {row["learner"] for row in rows} == {f"l{n:02}" for n in range(20, 26)}
    assert len(rows) == 12
    assert window.complaints() == []


def test_a_file_is_dropped_corrected_and_imported(window: Browser, console: Consoled, tmp_path: Path) -> None:
    file = tmp_path / "staff.csv"
    file.write_text(FILE, encoding="cp1252")
    window.open(f"{console.runtime.endpoints.public_url}/console/{ACME}/imports")
    chosen(window, file)
    window.wait("The file is being read")
    window.picture("import-running")
    console.world.settle()
    window.wait("What would change")  # by itself, as the stream tells it
    window.picture("import-looked-at")
    assert window.violations() == []
    window.run("document.querySelector('[name=means]').value = 'inactive'")
    window.click(".fields button")
    window.wait("The file is being read")
    console.world.settle()
    window.wait("Import: 2 users are new or change")
    window.click("[aria-labelledby=run] button")
    window.wait("being imported")
    console.world.settle()
    window.wait("What was changed")
    window.picture("import-done")

    assert console.world.rows("SELECT id, standing::text FROM learners WHERE id LIKE 'N%' ORDER BY id") == [
        ("N1", "active"),
        ("N2", "inactive"),
    ]
    assert window.complaints() == []


@pytest.mark.slow
def test_no_page_keeps_anybody_out_in_any_language_by_day_and_by_night(
    window: Browser, console: Consoled, tmp_path: Path
) -> None:
    for name, text in (("staff.csv", FILE), ("other.csv", "no,mail\n1,a@acme.example\n")):
        (tmp_path / name).write_text(text, encoding="cp1252")
        window.open(f"{console.runtime.endpoints.public_url}/console/{ACME}/imports")
        chosen(window, tmp_path / name)
        window.wait("The file is being read")
    console.world.settle()
    looks = [("en", "light", 1280), ("nl", "dark", 1280), ("fr", "light", 390), ("en", "dark", 390)]

    assert looked_at(window, console, looks, PAGES) == {}
