"""WCAG 2.2 AA, as far as a test can hold it: over every page there is. docs/accessibility.md has each criterion."""

import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tasks.accounts import Role
from tasks.acts import drafts, imports
from tasks.acts.drafts import NewDraft
from tasks.acts.imports import ImportRun
from tasks.events import Audience
from tests.acts.doing import do
from tests.console.browser import AXE, CHROMIUM, Browser
from tests.console.conftest import Consoled, technical
from workers.web.console.looks import ASSETS
from workers.web.console.visits import PAGES

ROOT = Path(__file__).parents[2]

#: Lighthouse, which `.ci/browser` installs beside axe, and what has it look at pages.
LIGHTHOUSE, LOOK, NODE = (
    AXE.parents[1] / "lighthouse",
    Path(__file__).parent / "lighthouse" / "look.js",
    shutil.which("node"),
)

#: What stands in the paths of pages here.
KNOWN = {"organisation": "acme", "learner": "ann", "webhook": "hook", "announcement": "news", "id": "1"}

#: What has a name besides what stands on it.
NAMED = re.compile(r'<(a|button|summary)\b[^>]* aria-label="([^"]*)"[^>]*>(.*?)</\1>', re.DOTALL)

#: Elements without an end.
VOID = {"br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}

#: An announcement of which is kept how many got it, and not who.
NO_LONGER_KEPT = """
    INSERT INTO mailings (organisation, kind, id, state, policy, subject, body, audience, launched_at, finished_at,
                          counted_at, counts)
    SELECT organisation, 'announcement', 'past', 'finished', 'hold', 'Past', 'Past', '{"everyone": true}', at, at, at,
           '[{"state": "accepted", "reason": null, "n": 1}]'
    FROM organisations, CAST(now() - interval '500 days' AS timestamptz) AS at
"""


def pages() -> list[str]:
    """Every page that is shown, with something in it."""
    found = []
    for page in PAGES:
        fields = {name[1:-1] for name in page.parts if name.startswith("{")}
        if page.method == "GET" and not page.exports and page.parts[-1] != "frame" and fields <= KNOWN.keys():
            known = KNOWN | ({"announcement": "draft"} if page.parts[-1] in {"edit", "launch"} else {})
            found.append("/".join(page.parts).format(**known))
    return [*found, *("organisations/acme/announcements/past" + below for below in ("", "/recipients"))]


@dataclass
class Read(HTMLParser):
    """A page, as far as somebody who does not see it depends on it."""

    text: str
    problems: list[str] = field(default_factory=list)
    title: str = ""
    headings: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    labelled: set[str] = field(default_factory=set)
    open: list[str] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        for _, name, inside in NAMED.findall(self.text):
            seen = re.sub("<[^>]+>", "", re.sub(r"<(\w+)[^>]* aria-hidden.*?</\1>", "", inside))
            if seen.strip() not in name:
                self.problems.append(f"what is seen is not in its name: {seen} in {name}")
        self.labelled = set(re.findall(r'<label[^>]* for="([^"]+)"', self.text))
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at an element."""
        said = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self.open.append(tag)
        if "id" in said:
            self.ids.append(said["id"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.problems += [
            problem
            for problem, found in (
                ("no language", tag == "html" and not said.get("lang")),
                ("it goes elsewhere by itself", tag == "meta" and said.get("http-equiv") == "refresh"),
                ("a picture without a text", tag == "img" and "alt" not in said),
                (
                    "a plot without a name",
                    tag == "svg" and self.open.count("svg") == 1 and not (said.keys() & {"aria-label", "aria-hidden"}),
                ),
                ("a heading of a table that does not say of what", tag == "th" and "scope" not in said),
                ("the focus has an order of its own", int(said.get("tabindex") or 0) > 0 or "autofocus" in said),
            )
            if found
        ]
        if tag in {"input", "select", "textarea"} and said.get("type") not in {"hidden", "submit"}:
            named = "label" in self.open or "aria-label" in said or said.get("id") in self.labelled
            if not (named or "aria-labelledby" in said):
                self.problems.append(f"a field without a label: {said.get('name')}")
        if tag == "table":
            start = self.text[self.text.index(self.get_starttag_text() or "") :]
            if "<caption" not in start.partition("</table>")[0]:
                self.problems.append("a table without a caption")

    def handle_endtag(self, tag: str) -> None:
        """Leave an element. Each is closed, in its order (the parts of a page are told apart by that)."""
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"</{tag}> closes {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        """Take the title."""
        if self.open[-1:] == ["title"] and "svg" not in self.open:
            self.title += data


@pytest.fixture
def furnished(console: Consoled) -> Consoled:
    """There is something on every page."""
    world = console.world
    world.has_organisation()
    world.has_learners("ann", "bob")
    world.has_course("safety", "everyone")
    world.settle()
    world.starts("ann", "safety")
    world.announces("news", send_at="2099-01-01T00:00:00Z")
    do(world, imports.run, ImportRun(file=io.BytesIO(b"id,email,status\nx,x@acme.example,odd\n"), dry_run=True))
    world.settle()
    do(world, drafts.create, NewDraft("News", "Hello {{ first_name }}", Audience(everyone=True), "draft"))
    world.execute(NO_LONGER_KEPT)
    technical(world)
    return console


def test_every_page_is_told_apart_named_and_ordered_for_those_who_do_not_see_it(furnished: Consoled) -> None:
    operator, titles, problems = furnished.visitor(Role.OPERATOR), dict[str, str](), {}
    for path in pages():
        page = Read(operator.open(path).text)
        found = list(page.problems)
        if page.headings.count(1) != 1 or page.headings[0] != 1:
            found.append(f"headings {page.headings}")
        if any(deeper > before + 1 for before, deeper in zip(page.headings, page.headings[1:], strict=False)):
            found.append(f"a heading is left out: {page.headings}")
        if len(set(page.ids)) < len(page.ids):
            found.append(f"an id is given twice: {sorted(one for one in page.ids if page.ids.count(one) > 1)}")
        if '<a class="skip" href="#main">' not in operator.text or '<main id="main"' not in operator.text:
            found.append("no way past the navigation")
        there = operator.status == 200 and operator.at.partition("?")[0] == f"/console/{path}"
        if there and (other := titles.setdefault(page.title, path)) != path:
            found.append(f"the title of {other}: {page.title}")
        if found:
            problems[path] = found

    assert len(titles) > 20
    assert problems == {}


def test_colours_can_be_told_apart_by_day_and_by_night() -> None:
    css = (ASSETS / "console.css").read_text(encoding="utf-8")
    tokens = {
        name: (day, night) for name, day, night in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", css)
    }
    text = [(ink, ground) for ink in ("ink", "soft") for ground in ("ground", "surface", "raised", "quiet-soft")]
    text += [(one, f"{one}-soft") for one in ("good", "warn", "bad", "accent")]
    text += [("accent", "surface"), ("accent", "ground"), ("accent-ink", "accent"), ("ink", "accent-soft")]
    lines = [("strong-line", "surface"), ("focus", "surface"), ("focus", "ground"), ("good", "surface")]

    for pairs, least in ((text, 4.5), (lines, 3.0)):
        for one, other in pairs:
            for hour in (0, 1):
                found = contrast(tokens[one][hour], tokens[other][hour])
                assert found >= least, (one, other, "night" if hour else "day", round(found, 2))


def contrast(one: str, other: str) -> float:
    """How far two colours stand apart (WCAG 2.2, contrast ratio)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_nothing_moves_for_those_who_do_not_want_it_and_the_focus_is_always_seen() -> None:
    css = (ASSETS / "console.css").read_text(encoding="utf-8")

    assert "@media (prefers-reduced-motion: reduce)" in css
    assert "@media (forced-colors: active)" in css
    assert "animation" not in css
    assert "user-scalable" not in (ASSETS.parent / "templates" / "skeleton.html.j2").read_text(encoding="utf-8")
    removed = re.findall(r"([^{}]+)\{[^}]*outline: none", css)
    assert [one.strip() for one in removed] == ["main:focus, #list:focus"], "these are moved to, and never tabbed to"


CRITERION = re.compile(r"^\| (\d\.\d\.\d+) ([^|]+) \| (A|AA) \| ([^|]+) \| ([^|]*) \|$", re.MULTILINE)


def test_each_criterion_is_in_the_table_and_each_test_that_it_names_is_there() -> None:
    found = CRITERION.findall((ROOT / "docs" / "accessibility.md").read_text(encoding="utf-8"))
    levels = [level for _, _, level, _, _ in found]
    named = [(number, one) for number, _, _, _, tests in found for one in re.findall(r"`(tests/[^`]+)`", tests)]

    assert (levels.count("A"), levels.count("AA")) == (31, 24), "of WCAG 2.2, without 4.1.1, which it gave up"
    assert len({number for number, *_ in found}) == len(found)
    assert len(named) > 25
    missing = []
    for number, test in named:
        file, _, name = test.partition("::")
        if not re.search(rf"^ *def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE):
            missing.append((number, test))
    assert missing == []


@pytest.fixture
def window(furnished: Consoled, chromium: Browser) -> Iterator[Browser]:
    """A browser in which an operator is signed in."""
    with chromium.window(f"{furnished.runtime.endpoints.public_url}/healthz") as opened:
        opened.cookie("rollcall", furnished.session(Role.OPERATOR, []))
        yield opened


def wrong(window: Browser, console: Consoled, page: str, language: str, colours: str, width: int) -> list[str]:
    """What is wrong with a page, so looked at; a picture of it, if pictures are wanted."""
    window.emulate(prefers_color_scheme=colours)
    window.sized(width, 900)
    window.cookie("rollcall-language", language)
    window.open(f"{console.runtime.endpoints.public_url}/console/{page}")
    window.picture(f"{page}-{language}-{colours}-{width}")
    wide = window.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [*window.violations(), *([f"wider than the window by {wide}"] if wide > 0 else [])]


def test_the_pages_of_operators_keep_nobody_out(window: Browser, furnished: Consoled) -> None:
    assert wrong(window, furnished, "system", "en", "light", 1280) == []
    assert wrong(window, furnished, "system/quarantine", "fr", "dark", 320) == []
    assert [one for one in window.complaints() if "/healthz" not in one] == []


def test_the_overview_follows_what_happens_and_a_pool_is_paused_there(window: Browser, furnished: Consoled) -> None:
    window.sized(1280, 900)
    window.open(f"{furnished.runtime.endpoints.public_url}/console/system")
    window.wait("2 pieces of work are set aside.")
    furnished.world.execute("DELETE FROM work WHERE work = (SELECT max(work) FROM work WHERE state = 'failing')")
    window.wait("1 piece of work is set aside.")
    window.click(".pauses details:last-of-type summary")
    window.type(".pauses details[open] [name=why]", "the mail server is full")
    window.click(".pauses details[open] button")
    window.wait("is paused.")
    assert furnished.world.list("SELECT paused_why FROM pools WHERE paused_at IS NOT NULL") == [
        "the mail server is full"
    ]


@pytest.mark.slow
def test_axe_finds_nothing_on_any_page_in_any_language_by_day_and_by_night(
    window: Browser, furnished: Consoled
) -> None:
    looks = [("en", "light", 1280), ("nl", "light", 390), ("fr", "light", 1280)]
    looks += [("en", "dark", 390), ("nl", "dark", 1280), ("fr", "dark", 320)]
    found = {(page, *look): wrong(window, furnished, page, *look) for look in looks for page in pages()}

    assert len(found) > 120
    assert {what: problems for what, problems in found.items() if problems} == {}


@pytest.mark.slow
@pytest.mark.skipif(
    not (NODE and CHROMIUM and LIGHTHOUSE.exists()), reason="there is no node, Chromium or Lighthouse: run .ci/browser"
)
@pytest.mark.parametrize(("form", "dark"), [("desktop", False), ("mobile", True)])
def test_lighthouse_gives_every_page_full_marks(furnished: Consoled, form: str, dark: bool) -> None:
    url = furnished.runtime.endpoints.public_url
    cookie = {"name": "rollcall", "value": furnished.session(Role.OPERATOR, []), "url": url}
    wanted = [f"{url}/sign-in", *(f"{url}/console/{page}".rstrip("/") for page in pages())]
    asked = {"chromium": CHROMIUM, "cookies": [cookie], "pages": wanted, "form": form, "dark": dark}

    looked = subprocess.run(
        [NODE or "", "--input-type=module", "--eval", LOOK.read_text(encoding="utf-8")],
        cwd=LIGHTHOUSE.parent,  # where it finds what it imports
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,
    )

    found = [json.loads(line) for line in looked.stdout.splitlines()]
    assert [one["page"] for one in found] == wanted, looked.stderr
    assert [one["page"] for one in found if one["shown"].endswith("/sign-in")] == wanted[:1]
    full = {"accessibility": 1, "best-practices": 1}
    assert {one["page"]: one for one in found if one["failed"] or one["scores"] != full} == {}


@pytest.mark.slow
def test_every_page_can_be_gone_through_by_keys_alone_and_the_focus_is_seen(
    window: Browser, furnished: Consoled
) -> None:
    window.sized(1280, 900)
    lost = {}
    for page in pages():
        window.open(f"{furnished.runtime.endpoints.public_url}/console/{page}")
        found = window.run(
            """
            const seen = [];
            for (const one of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, summary")) {
                if (!one.checkVisibility({visibilityProperty: true})) continue;
                one.focus({focusVisible: true});
                const name = one.outerHTML.slice(0, 80);
                if (document.activeElement !== one) { seen.push("not reached: " + name); continue; }
                one.scrollIntoView({block: "nearest"});
                const box = one.getBoundingClientRect();
                const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
                const ringed = (it) => it && getComputedStyle(it).outlineStyle !== "none";
                if (!ringed(one) && !ringed(one.nextElementSibling)) seen.push("not seen: " + name);
                if (top && !(one.contains(top) || top.contains(one) || top.closest("label, .bar, .switch")))
                    seen.push("covered: " + name);
            }
            return seen;
            """
        )
        if found:
            lost[page] = found
    assert lost == {}
