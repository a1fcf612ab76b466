"""R31, R34: who sees which page, what no page lets in, and what each says when something is wrong."""

import io
import re
from urllib.parse import quote

import pytest

from tasks.accounts import Role
from tasks.acts import imports
from tasks.acts.imports import ImportRun
from tests.acts.doing import do
from tests.console.conftest import Consoled, Visitor, technical
from workers.web.api.limits import Buckets
from workers.web.asking import Busy
from workers.web.console import app, changes, choosing
from workers.web.console.looks import ASSETS
from workers.web.console.visits import PAGES
from workers.web.signing_in import Visitors

#: Each page, written by hand: who may see or send it, of their own organisation. `all`: whoever is signed in.
TABLE = {
    "GET ": "all",
    "GET organisations": "all",
    "GET organisations/{organisation}": "all",
    "GET preferences": "all",
    "POST preferences": "all",
    "GET organisations/{organisation}/users": "reader",
    "GET organisations/{organisation}/users/export": "reader",
    "POST organisations/{organisation}/users": "reader",
    "POST organisations/{organisation}/users/confirm": "admin",
    "POST organisations/{organisation}/users/status": "admin",
    "GET organisations/{organisation}/enrolments": "reader",
    "GET organisations/{organisation}/enrolments/export": "reader",
    "GET organisations/{organisation}/enrolments/{fanout}": "reader",
    "GET organisations/{organisation}/courses/{course}": "reader",
    "POST organisations/{organisation}/courses/{course}": "reader",
    "GET organisations/{organisation}/courses/{course}/export": "reader",
    "GET organisations/{organisation}/courses/{course}/users": "admin",
    "POST organisations/{organisation}/courses/{course}/users": "admin",
    "POST organisations/{organisation}/courses/{course}/confirm": "admin",
    "POST organisations/{organisation}/courses/{course}/method": "admin",
    "POST organisations/{organisation}/courses/{course}/enrol": "admin",
    "POST organisations/{organisation}/courses/{course}/withdraw/confirm": "admin",
    "POST organisations/{organisation}/courses/{course}/withdraw": "admin",
    "GET organisations/{organisation}/segments": "reader",
    "POST organisations/{organisation}/segments": "admin",
    "GET organisations/{organisation}/segments/export": "reader",
    "GET organisations/{organisation}/segments/{segment}": "reader",
    "POST organisations/{organisation}/segments/{segment}": "reader",
    "GET organisations/{organisation}/segments/{segment}/export": "reader",
    "GET organisations/{organisation}/segments/{segment}/users": "admin",
    "POST organisations/{organisation}/segments/{segment}/users": "admin",
    "POST organisations/{organisation}/segments/{segment}/name": "admin",
    "POST organisations/{organisation}/segments/{segment}/link": "admin",
    "POST organisations/{organisation}/segments/{segment}/join": "admin",
    "POST organisations/{organisation}/segments/{segment}/leave": "admin",
    "GET organisations/{organisation}/learners/{learner}": "reader",
    "POST organisations/{organisation}/learners/{learner}": "admin",
    "GET organisations/{organisation}/announcements": "reader",
    "GET organisations/{organisation}/announcements/{announcement}": "reader",
    "GET organisations/{organisation}/announcements/{announcement}/frame": "reader",
    "GET organisations/{organisation}/announcements/{announcement}/recipients": "reader",
    "GET organisations/{organisation}/announcements/{announcement}/recipients/export": "reader",
    "GET organisations/{organisation}/announcements/{announcement}/edit": "admin",
    "GET organisations/{organisation}/announcements/{announcement}/launch": "admin",
    "POST organisations/{organisation}/announcements/{announcement}/edit": "admin",
    "POST organisations/{organisation}/announcements/{announcement}/test": "admin",
    "POST organisations/{organisation}/announcements/{announcement}/launch": "admin",
    "POST organisations/{organisation}/announcements/{announcement}/move": "admin",
    "POST organisations/{organisation}/announcements/{announcement}/retry": "admin",
    "POST organisations/{organisation}/announcements/{announcement}/settle": "admin",
    "POST organisations/{organisation}/announcements/{announcement}/delete": "admin",
    "GET organisations/{organisation}/drafts/new": "admin",
    "POST organisations/{organisation}/drafts/new": "admin",
    "POST organisations/{organisation}/drafts/see": "admin",
    "POST organisations/{organisation}/drafts/frame": "reader",
    "GET sessions": "all",
    "POST sessions": "all",
    "GET organisations/{organisation}/technical": "reader",
    "GET organisations/{organisation}/technical/audit": "admin",
    "GET organisations/{organisation}/technical/audit/export": "admin",
    "GET organisations/{organisation}/technical/quarantine": "reader",
    "GET organisations/{organisation}/technical/suppressions/export": "reader",
    "GET organisations/{organisation}/technical/suppressions": "reader",
    "GET organisations/{organisation}/technical/webhooks": "reader",
    "GET organisations/{organisation}/technical/webhooks/{webhook}": "reader",
    "POST organisations/{organisation}/technical/quarantine": "admin",
    "POST organisations/{organisation}/technical/quarantine/confirm": "admin",
    "POST organisations/{organisation}/technical/suppressions": "admin",
    "POST organisations/{organisation}/technical/suppressions/add": "admin",
    "POST organisations/{organisation}/technical/webhooks": "admin",
    "POST organisations/{organisation}/technical/webhooks/{webhook}": "admin",
    "GET system": "operator",
    "GET system/accounts": "operator",
    "GET system/audit": "operator",
    "GET system/audit/export": "operator",
    "GET system/quarantine": "operator",
    "GET system/quarantine/decided": "operator",
    "GET system/suppressions": "operator",
    "GET system/tokens": "operator",
    "GET system/webhooks": "operator",
    "GET system/webhooks/{webhook}": "operator",
    "GET system/work": "operator",
    "POST system/accounts": "operator",
    "POST system/halts": "operator",
    "POST system/mail": "operator",
    "POST system/pools/{pool}": "operator",
    "POST system/quarantine": "operator",
    "POST system/quarantine/confirm": "operator",
    "POST system/tokens": "operator",
    "POST system/tokens/{token}/revoke": "operator",
    "POST system/webhooks": "operator",
    "POST system/webhooks/{webhook}": "operator",
    "POST system/work": "operator",
    "POST system/work/confirm": "operator",
    "GET organisations/{organisation}/reports": "reader",
    "GET organisations/{organisation}/reports/training": "reader",
    "GET organisations/{organisation}/reports/history": "reader",
    "GET organisations/{organisation}/seats": "reader",
    "GET organisations/{organisation}/seats/ledger": "reader",
    "GET organisations/{organisation}/seats/ledger/export": "reader",
    "POST organisations/{organisation}/seats/ledger/{entry}": "admin",
    "GET organisations/{organisation}/imports": "reader",
    "POST organisations/{organisation}/imports": "admin",
    "GET organisations/{organisation}/imports/{id}": "reader",
    "POST organisations/{organisation}/imports/{id}": "admin",
    "GET organisations/{organisation}/imports/{id}/refused": "reader",
}

ROLES = {"reader": Role.READER, "admin": Role.ADMIN, "operator": Role.OPERATOR, "nobody": None}

#: Names that would be more than text, somewhere.
NAMES = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\u202e\u2066evil",
    "{{ 7 * 7 }}%s{x}",
    "W" * 300,
]


@pytest.fixture(autouse=True)
def _organisations(console: Consoled) -> None:
    world = console.world
    world.has_organisation()
    world.organisation = "zeta"
    world.has_organisation(name="Zeta")
    world.has_learners("zoe")
    world.announces("news", send_at="2099-01-01T00:00:00Z")
    world.organisation = "acme"
    world.has_learners("ann")
    world.announces("news", send_at="2099-01-01T00:00:00Z")
    do(world, imports.run, ImportRun(file=io.BytesIO(b"id,email,status\n")))
    technical(world)


def key(visitor: Visitor) -> str:
    found = re.search(r'name="key" value="(\w+)"', visitor.text)
    return found[1] if found else ""


def asks(visitor: Visitor, route: str, organisation: str, own: str) -> int:
    """Ask for a page as its form does, with the key of the session's `own` forms."""
    method, _, path = route.partition(" ")
    own_ids = {"acme": {"learner": "ann", "fanout": "2"}, "zeta": {"learner": "zoe", "fanout": "1"}}[organisation]
    known = {"organisation": organisation, "course": "c1", "segment": "s1", "announcement": "news", "id": 1, "entry": 1}
    path = path.format(**known | own_ids, webhook="hook", pool="bulk", token="spare")
    if method == "GET":
        return visitor.open(path).status
    said = [("key", own), ("learner", "ann"), ("status", "active"), ("active", "yes"), ("was", "inactive")]
    said += [("how", "learners"), ("method", "everyone"), ("segment", "s1"), ("name", "New"), ("course", "c1")]
    said += [("subject", "S"), ("body", "B"), ("to", "everyone"), ("will_receive", "9"), ("move", "pause")]
    said += [("outcome", "sent"), ("all", "yes"), ("address", "ann@acme.example")]
    said += [("why", "seen")]
    if "/technical/" in path or path.startswith("system"):
        said = [("key", own), ("why", "seen"), ("wanted", "discard"), ("url", "https://hooks.invalid/y")]
        said += [("role", "operator"), ("name", "another"), ("email", "reader-acme@acme.example")]
        said += [("address", "b@acme.example"), ("organisation", "acme")]
    said += [("event", "1"), ("work", "1")] if path.endswith(("quarantine/confirm", "work/confirm")) else []
    if path.endswith(("/quarantine", "/work")):
        said += re.findall(r'name="(event|work)" value="(\d+)"', visitor.open(path).text)[:1]
    elif path.endswith("/suppressions"):
        said += re.findall(r'name="(address)" value="([^"]+)"', visitor.open(path).text)[:1]
    if path.endswith("/imports"):
        return visitor.drop(path, said, "people.csv", b"id,email,status\n", Sec_Fetch_Site="same-origin").status
    return visitor.open(path, said, Sec_Fetch_Site="same-origin").status


@pytest.fixture
def courses(console: Consoled) -> None:
    world = console.world
    for world.organisation, learner in (("zeta", "zoe"), ("acme", "ann")):
        world.has_course("c1")
        world.has_segment("s1")
        world.asks_to_enrol("c1", learner)
    world.settle()


@pytest.mark.usefixtures("courses")
def test_r34_each_page_is_for_those_the_table_says_and_for_nobody_else(
    console: Consoled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Buckets, "wait", lambda *_: 0)  # who opens every page would have to wait
    declared = {f"{page.method} {'/'.join(page.parts)}" for page in PAGES}
    assert declared == TABLE.keys()
    order = [*Role]
    for name, role in ROLES.items():
        visitor = console.visitor(role)
        own = key(visitor.open("preferences"))
        for route, least in TABLE.items():
            status = asks(visitor, route, "acme", own)
            if role is None:
                assert (status, visitor.headers["location"]) == (303, "/sign-in"), (name, route)
            elif least == "all" or order.index(role) >= order.index(Role(least)):
                assert status in {200, 409}, (name, route, status, visitor.says)
            else:
                assert (status, "You may not do this" in visitor.says) == (403, True), (name, route)
    refused = console.world.rows("SELECT DISTINCT who, act, outcome FROM audit WHERE outcome LIKE 'refused%'")
    assert ("reader-acme@acme.example", "learners.status", "refused: Forbidden") in refused


@pytest.mark.usefixtures("courses")
def test_r31_what_is_another_organisations_is_not_there(console: Consoled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Buckets, "wait", lambda *_: 0)  # who opens every page would have to wait
    admin = console.visitor(Role.ADMIN, "acme")
    own = key(admin.open("preferences"))
    for route in TABLE:
        if "{organisation}" in route and route != "GET organisations/{organisation}":
            assert asks(admin, route, "zeta", own) == 404, route
            assert "Zeta" not in admin.text
            missing = route.replace("{organisation}", "none-such")
            assert asks(admin, missing, "zeta", own) == 404, route
    assert "Zeta" not in admin.open("organisations").says
    assert "Zeta" in console.visitor(Role.OPERATOR).open("organisations").says


def test_the_navigation_offers_other_organisations_to_those_who_see_several(console: Consoled) -> None:
    both = console.visitor(Role.READER, "acme", "zeta").open("organisations/acme/users")
    one = console.visitor(Role.READER, "acme").open("organisations/acme/users")

    assert '/console/organisations/zeta/users"' in both.text
    assert "switch-organisation" not in one.text


def test_a_form_is_taken_from_our_own_page_in_the_same_session_alone(console: Consoled) -> None:
    admin, other = console.visitor(), console.visitor(Role.OPERATOR)
    own, path = key(admin.open("preferences")), "organisations/acme/learners/ann"
    theirs = key(other.open("preferences"))
    said = [("was", "active")]
    for fields, headers in (
        (said, {"Sec_Fetch_Site": "same-origin"}),
        ([*said, ("key", theirs)], {"Sec_Fetch_Site": "same-origin"}),
        ([*said, ("key", own)], {"Sec_Fetch_Site": "cross-site"}),
        ([*said, ("key", own)], {"Origin": "https://evil.example"}),
        ([*said, ("key", own)], {"Origin": "null"}),
    ):
        admin.open(path, fields, **headers)
        assert (admin.status, "was not sent from a page of ours" in admin.says) == (403, True), headers
    assert console.world.ask("SELECT standing::text FROM learners WHERE id = 'ann'") == "active"
    admin.open(path, [*said, ("key", own)], Origin="null", Sec_Fetch_Site="same-origin")
    assert (admin.status, "1 user is inactive now." in admin.says) == (200, True), "as a page that hides its address"


def test_no_page_lets_in_what_is_not_ours(console: Consoled) -> None:
    admin = console.visitor()
    pages = ["", "organisations/acme/users", "organisations/acme/learners/ann", "preferences", "nothing", "assets/x.js"]
    for path in pages:
        admin.open(path)
        policy = admin.headers["content-security-policy"]
        assert "unsafe" not in policy
        for said in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "script-src 'self';"):
            assert said in policy
        assert admin.headers["x-content-type-options"] == "nosniff"
        assert admin.headers["cache-control"] == "no-store"
        assert not re.search(
            r"""\s(?:style|on\w+)=|<style|<script(?![^>]*\ssrc=)|(?:src|href|action)="(?:https?:)?//""", admin.text
        )


def test_stylesheet_and_script_are_small_and_kept_for_good(console: Consoled) -> None:
    admin = console.visitor().open("organisations/acme/users")
    links = re.findall(r'(?:src|href)="(/console/assets/[^"]+)"', admin.text)

    assert [link.rpartition(".")[2] for link in links] == ["svg", "css", "js"]
    for link in links:
        admin.open(link)
        assert (admin.status, "immutable" in admin.headers["cache-control"]) == (200, True)
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) < 100_000
    assert admin.open("assets/..%2Fapp.py").status == 404


def test_the_icon_is_where_a_browser_asks_for_it_if_a_page_names_none(console: Consoled) -> None:
    nobody = console.visitor(None).open("/favicon.ico")

    assert (nobody.status, nobody.headers["content-type"]) == (200, "image/svg+xml")
    assert "<svg" in nobody.text


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text_whatever_they_hold(console: Consoled, name: str) -> None:
    console.world.has_learners("odd", first_name=name, last_name=name)
    console.world.has_organisation(name=name)
    admin = console.visitor()
    for path in (
        "organisations/acme/users",
        "organisations/acme/learners/odd",
        f"organisations/acme/users?search={quote(name[:50])}",
    ):
        admin.open(path)
        assert admin.status == 200
        assert name in admin.says or name[:50] in admin.says
        if "<" in name:
            assert name not in admin.text
        if name.startswith("\u202e"):
            inside = "".join(
                re.findall(r"<bdi>.*?</bdi>|\u2068.*?\u2069|<title>.*?</title>|value=\"[^\"]*\"|“.*?”", admin.text)
            )
            assert admin.text.count("\u202e") == inside.count("\u202e"), "the direction of a name is its own"


def test_somebody_chooses_language_zone_and_colours_and_comes_back(console: Consoled) -> None:
    admin = console.visitor().open("organisations/acme/users?tab=all", Accept_Language="fr-BE")
    assert 'lang="fr"' in admin.text

    admin.send("preferences", ("language", "nl"), ("zone", "Asia/Tokyo"), ("theme", "dark"))
    assert (admin.at, admin.headers["content-language"]) == ("/console/organisations/acme/users?tab=all", "nl")
    assert "Alle gebruikers" in admin.says
    assert "Tijden in Asia/Tokyo" in admin.says
    assert 'data-theme="dark"' in admin.text
    own = key(admin)
    for elsewhere in ("https://evil.example/", "//evil.example", "/console/\\evil", "/sign-in"):
        admin.open("preferences", [("key", own), ("back", elsewhere), ("theme", "x")], Sec_Fetch_Site="same-origin")
        assert admin.at == "/console/preferences"


def test_what_is_wrong_is_said_on_a_page_with_what_to_do(console: Consoled) -> None:
    admin = console.visitor()
    for path, status in (
        ("nothing", 404),
        ("organisations/acme/learners/none", 404),
        ("organisations/acme/users?tab=both", 422),
        ("organisations/acme/users?after=x", 422),
        ("organisations/acme/users?search=%00", 422),
        ("organisations/acme/users?search=%FF", 422),
        ("organisations/%FF/users", 404),
    ):
        assert admin.open(path).status == status, path
        assert "Go to the console" in admin.says
    assert admin.open("organisations/acme/users", method="DELETE").status == 405
    assert admin.open("organisations/acme/users", method="HEAD").status == 200
    assert admin.open("organisations/acme/learners/none", Accept_Language="nl").says.count("Hier is niets") == 2


def test_somebody_who_opens_too_many_pages_is_told_to_wait(console: Consoled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.web.api.limits.Buckets.wait", lambda *_: 7)
    admin = console.visitor().open("preferences")

    assert (admin.status, admin.headers["retry-after"]) == (429, "7")
    assert "Too many pages at once" in admin.says


def test_a_database_that_does_not_answer_is_said_and_so_is_what_nobody_foresaw(
    console: Consoled, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = console.visitor()
    console.world.execute("ALTER TABLE sessions RENAME TO hidden")
    admin.open("preferences")
    console.world.execute("ALTER TABLE hidden RENAME TO sessions")
    assert (admin.status, "Something is wrong here" in admin.says) == (500, True)

    def silent(*_: object, **__: object) -> None:
        raise Busy

    monkeypatch.setattr(Visitors, "caller", silent)
    admin.open("preferences")
    assert (admin.status, "The database cannot be reached" in admin.says) == (503, True)
    assert admin.headers["retry-after"]


def test_the_page_on_the_console_says_which_bounds_there_are() -> None:
    said = " ".join((ASSETS.parents[3] / "docs" / "console.md").read_text(encoding="utf-8").split())
    script = (ASSETS / "console.js").read_text(encoding="utf-8")
    look, idle = (int(re.findall(rf"{name} = (\d+);", script)[0]) for name in ("LOOK_MS", "IDLE_MS"))
    bounds = [
        f"may open {app.RATE:.0f} pages a second, {app.AT_ONCE} at once",
        f"the script asks every {look // 1000} seconds",
        f"stops asking after {idle // 60_000} minutes",
        f"A process has {changes.MOST} streams, and {changes.OF_ONE} of one person",
        f"each ends after {changes.LONGEST_SECONDS / 60:.0f} minutes",
        f"up to {choosing.MOST_FOUND:,}",
    ]

    assert [bound for bound in bounds if bound not in said] == []
