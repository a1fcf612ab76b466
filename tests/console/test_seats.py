"""R25 to R28: the Seats section: what is used of the pool, the ledger, and what is to be reviewed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.accounts import Role
from tests.console.conftest import Consoled

SEATS = "organisations/acme/seats"
NOW = datetime.now(UTC)


def ago(days: int) -> datetime:
    return NOW - timedelta(days=days)


@pytest.fixture(autouse=True)
def _acme(console: Consoled) -> None:
    world = console.world
    world.has_organisation(
        "credits", 100, licence_starts=ago(90).isoformat(), licence_ends=(NOW + timedelta(days=275)).isoformat()
    )
    world.has_learners("ann", "bob", "<i>eve</i>", at=ago(80))
    world.has_course("c1", cost=14, at=ago(80))
    world.has_course("held", cost=0, at=ago(80))
    world.asks_to_enrol("c1", "ann", "bob", "<i>eve</i>", at=ago(70))
    world.asks_to_enrol("held", "ann", at=ago(70))
    world.settle()
    world.has_course("held", cost=0, on_hold=True, at=ago(60))
    world.starts("ann", "c1", at=ago(20))
    world.starts("<i>eve</i>", "c1", at=ago(10))
    world.starts("ann", "held", at=ago(5))


def test_r25_the_overview_says_what_is_used_and_when_it_runs_out(console: Consoled) -> None:
    reader = console.visitor(Role.READER).open(SEATS)

    for said in (
        "Used 28 credits",
        "Left 72 credits",
        "Starts that used any 3",
        "Reckoned by what was used in the last 28 days: 1 a day.",
        "The pool is used up on",
        "Credits used in this period",
    ):
        assert said in reader.says
    runs_out = (NOW + timedelta(days=72)).date()
    assert f"The pool is used up on {runs_out.day} {runs_out:%b} {runs_out.year}" in reader.says.replace("Sept", "Sep")
    assert reader.text.count('class="series-1"') > 1
    assert reader.text.count('class="limit"') > 1


def test_r28_an_overdrawn_pool_is_said(console: Consoled) -> None:
    console.world.has_organisation(
        "credits", 10, licence_starts=ago(90).isoformat(), licence_ends=(NOW + timedelta(days=275)).isoformat()
    )
    reader = console.visitor(Role.READER).open(SEATS)

    assert "The pool is used up. Courses can still be started" in reader.says
    assert "overdrawn by 18" in reader.says


@pytest.mark.parametrize("terms", [{"pool": None}, {"licence_starts": None, "licence_ends": None}])
def test_r25_a_pool_without_a_limit_or_an_end_is_shown(console: Consoled, terms: dict[str, None]) -> None:
    described: dict[str, Any] = {
        "licence_starts": ago(90).isoformat(),
        "licence_ends": (NOW + timedelta(days=275)).isoformat(),
    }
    console.world.has_organisation("credits", **{"pool": 100, **described, **terms})
    reader = console.visitor(Role.READER).open(SEATS)

    assert (reader.status, "Used 28 credits" in reader.says) == (200, True)
    assert ("The pool has no limit" in reader.says) == ("pool" in terms)


def test_the_ledger_is_filtered_by_user_and_days_and_exported_so(console: Consoled) -> None:
    reader = console.visitor(Role.READER)
    whole = reader.open(f"{SEATS}/ledger")
    assert whole.text.count("data-key=") == 3
    assert ("&lt;i&gt;eve&lt;/i&gt;" in whole.text, "<i>" in whole.text) == (True, False)
    day = ago(10).date().isoformat()
    some = reader.open(f"{SEATS}/ledger?since={day}&until={day}")
    assert (some.text.count("data-key="), "eve" in some.says) == (1, True)
    own = reader.open(f"{SEATS}/ledger?learner=ann")
    assert own.text.count("data-key=") == 2
    link = own.text.split('" download')[0].rpartition('href="')[2].replace("&amp;", "&")
    assert reader.open(link).text.count("\n") == 3
    assert reader.headers["content-disposition"] == 'attachment; filename="ledger.csv"'
    assert "There is no entry of that user" in reader.open(f"{SEATS}/ledger?learner=nobody").says
    assert reader.open(f"{SEATS}/ledger?since=yesterday").status == 422


def test_pages_of_the_ledger_go_on(console: Consoled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.web.console.seats.SHOWN", 2)
    reader = console.visitor(Role.READER).open(f"{SEATS}/ledger?since=2020-01-01")
    onward = reader.text.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")

    assert "since=2020-01-01" in onward
    rest = reader.open(onward).text
    assert (rest.count("data-key="), "held" in rest.split("<tbody>")[1]) == (1, True), "the one that happened last"


def test_r28_a_flag_is_reviewed_with_a_reason_and_the_entry_stays(console: Consoled) -> None:
    admin = console.visitor().open(f"{SEATS}/ledger?review=yes")
    entry = admin.text.split('data-key="')[1].split('"')[0]
    assert "course on hold" in admin.says
    assert "There are entries to review." in console.visitor().open(SEATS).says
    assert "What you found" not in console.visitor(Role.READER).open(f"{SEATS}/ledger?review=yes").text

    admin.send(f"{SEATS}/ledger/{entry}", ("why", "  "), leave=frozenset({"why"}))
    assert (admin.status, "Say what you found" in admin.says) == (422, True)
    admin.open(f"{SEATS}/ledger?review=yes")
    admin.send(f"{SEATS}/ledger/{entry}", ("why", "It counts"), leave=frozenset({"why"}))

    assert (admin.status, admin.at) == (200, f"/console/{SEATS}/ledger?review=yes")
    assert f"Entry {entry} is reviewed: course on hold." in admin.says
    assert "Nothing is to be reviewed." in admin.says
    assert "is not charged before somebody decides about it: Events not taken" in admin.says
    assert "There are entries to review." not in console.visitor().open(SEATS).says
    assert console.world.rows("SELECT by_whom, why FROM settled_reviews") == [("admin-acme@acme.example", "It counts")]
    assert len(console.world.ledger()) == 3


def test_r31_an_entry_of_another_organisation_cannot_be_reviewed(console: Consoled) -> None:
    console.world.send(console.world.event("organisation.saved", {"name": "B", "licence": "seats"}, organisation="b"))
    admin = console.visitor().open(f"{SEATS}/ledger?review=yes")
    entry = admin.text.split('data-key="')[1].split('"')[0]
    other = console.visitor(Role.ADMIN, "b")
    key = other.open("preferences").text.split('name="key" value="')[1].split('"')[0]
    other.open(f"organisations/b/seats/ledger/{entry}", [("key", key), ("why", "x")], Sec_Fetch_Site="same-origin")

    assert (other.status, "Nothing is to be reviewed in that entry" in other.says) == (409, True)
    assert console.world.ask("SELECT count(*) FROM settled_reviews") == 0
    assert other.open("organisations/b/seats/ledger").text.count("data-key=") == 0
