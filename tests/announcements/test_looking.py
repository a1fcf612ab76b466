"""How an announcement stands, recipient by recipient, and while it is being sent. R18."""

import csv
import io
import json
import re
from typing import Any

import pytest

from config.settings import Settings
from tasks import announcements
from tasks.announcements import Progress
from tasks.bounces import Arrived, record_bounce
from tasks.mail import ReturnPaths
from tests.announcements.conftest import Admin, Rollcall
from tests.bounces import reports
from tests.world import World
from workers.commands.progress import Pace, duration, line, over


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Three tries."""
    return settings.model_copy(update={"rollcall_mail_attempts": 3})


@pytest.fixture
def sent(world: World) -> World:
    """An announcement of which something became of each kind."""
    answers = {"refused": ["550 =cmd|calc"], "deferred": ["447 later", "447 again", "447 at last"]}
    world.has_learners("fine", "refused", "deferred", "=formula")
    world.has_learners("asleep", status="inactive")
    world.has_learners("unsure")
    world.mail.on_recipient = lambda address, times: answers.get(address.partition("@")[0], [None] * 9)[times]
    world.mail.hangs_up = lambda address: address.startswith("unsure@")
    world.announces()
    world.comes_to_rest()
    return world


def test_what_came_back_is_counted_beside_what_was_accepted(sent: World, admin: Admin, rollcall: Rollcall) -> None:
    assert "came_back" not in admin("show", "news"), "nothing has"
    found = sent.runtime.endpoints
    returns = ReturnPaths(found.bounce_address, found.secret_key)
    for address, system, said in (
        ("fine@acme.example", reports.postfix, {"status": "5.1.1"}),
        ("=formula@acme.example", reports.postfix, {"status": "4.2.2", "diagnostic": "smtp; 452 4.2.2 full"}),
    ):
        to = sent.mail.senders[address][-1]
        came = system(to, address, **said)
        record_bounce(sent.runtime, returns, Arrived(came.sender, to, came.message))

    shown = admin("show", "news")

    assert shown["came_back"] == {"soft": 1, "hard": 1}
    assert shown["accepted"] == 2, "what the server said stays what it said"
    assert "Of these, 2 came back: 1 bounced for now, 1 bounced for good." in rollcall("show", "news").stdout


def rows(rollcall: Rollcall, *words: str) -> list[dict[str, Any]]:
    """What is exported as JSONL."""
    done = rollcall("recipients", "news", *words, "--format", "jsonl")
    assert done.exit_code == 0, done.output
    return [json.loads(row) for row in done.stdout.splitlines()]


def test_r18_each_recipient_is_a_row_with_every_attempt(sent: World, rollcall: Rollcall) -> None:
    found = {row["learner"]: row for row in rows(rollcall)}

    assert {id_: (row["state"], row["reason"], row["code"]) for id_, row in found.items()} == {
        "fine": ("accepted", None, 250),
        "refused": ("failed", "refused", 550),
        "deferred": ("failed", "deferred", 447),
        "=formula": ("accepted", None, 250),
        "asleep": ("skipped", "inactive", None),
        "unsure": ("uncertain", "ambiguous", None),
    }
    tries = {id_: [(one["answer"], one["code"]) for one in row["attempts"]] for id_, row in found.items()}
    assert tries["deferred"] == [("deferred", 447)] * 3
    assert tries["fine"] == [("accepted", 250)]
    assert tries["asleep"] == []
    assert [one["reply"] for one in found["deferred"]["attempts"]] == ["later", "again", "at last"]
    moments = [one["at"] for one in found["deferred"]["attempts"]]
    assert moments == sorted(moments)
    assert found["fine"]["address"] == "fine@acme.example"
    assert found["fine"]["settled_at"] is not None


def test_r18_recipients_are_chosen_by_state_and_reason(sent: World, rollcall: Rollcall) -> None:
    assert [row["learner"] for row in rows(rollcall, "--state", "failed")] == ["refused", "deferred"]
    assert [row["learner"] for row in rows(rollcall, "--state", "failed", "--reason", "deferred")] == ["deferred"]
    assert rows(rollcall, "--state", "pending") == []
    assert rollcall("recipients", "news", "--state", "lost").exit_code == 2


def test_recipients_are_safe_to_open_in_a_spreadsheet(sent: World, rollcall: Rollcall) -> None:
    cells = list(csv.DictReader(io.StringIO(rollcall("recipients", "news").stdout)))

    assert [row["learner"] for row in cells] == ["fine", "refused", "deferred", "'=formula", "asleep", "unsure"]
    assert cells[1]["reply"] == "'=cmd|calc"
    assert re.fullmatch(
        r"\S+Z deferred 447 later / \S+Z deferred 447 again / \S+Z deferred 447 at last", cells[2]["attempts"]
    )


def test_watching_follows_an_announcement_and_stops_at_its_end(
    world: World, rollcall: Rollcall, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.has_learners("A", "B", "C")
    world.announces()
    admin("pause", "news")

    def meanwhile(_seconds: float) -> None:
        with world.about() as (connection, org):
            found = announcements.find(connection, org.organisation, "news")
            assert found is not None
            announcements.resume(connection, org.organisation, found, by="Ada")
        world.comes_to_rest()

    monkeypatch.setattr("workers.commands.progress.time.sleep", meanwhile)
    done = rollcall("show", "news", "--watch", "--history")

    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[:2] == ["paused: 0 of 3, 0/s", lines[1]]
    assert lines[1].startswith("finished: 3 of 3")
    assert "news: finished" in lines
    assert any("resume" in one and "Ada" in one for one in lines)
    assert admin("show", "news", "--watch") == admin("show", "news")


def test_what_is_over_is_not_watched() -> None:
    counts = Progress("news", "cancelled", selected=4, cancelled=3, pending=1)

    assert not over(counts)
    assert over(Progress("news", "cancelled", selected=4, cancelled=4))
    assert [over(Progress("n", state)) for state in ("draft", "scheduled", "sending", "paused", "finished")] == [
        True,
        False,
        False,
        False,
        True,
    ]


def test_the_pace_of_the_last_seconds_tells_how_long_it_will_take() -> None:
    pace = Pace()
    for second in range(31):
        pace.see(float(second), 10 * second if second <= 20 else 200 + 100 * (second - 20))

    assert pace.rate == 100
    assert line(Progress("news", "sending", selected=10_000, accepted=1200, pending=8800), pace.rate) == (
        "sending: 1200 of 10000, 100/s, 0:01:28 left"
    )
    assert duration(3661) == "1:01:01"


def test_the_list_leaves_none_out(world: World, rollcall: Rollcall, admin: Admin) -> None:
    for number in range(130):
        world.announces(f"n{number:03}", send_at="2099-12-24T09:00", time_zone="Europe/Amsterdam")

    assert [one["announcement"] for one in admin("list")] == [f"n{number:03}" for number in reversed(range(130))]
    assert [one["announcement"] for one in admin("list", "--limit", "2")] == ["n129", "n128"]
    assert "n000" in rollcall("list").stdout
