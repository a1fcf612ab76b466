"""What an admin, or the platform, may not write: refused with what is wrong, before anything is kept."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tasks.announcements import LARGEST_BODY
from tests.announcements.conftest import Admin, Rollcall
from tests.world import World, id_of

Refusal = Callable[..., str]

GOOD: dict[str, str] = {"--subject": "News", "--id": "news"}

#: What is wrong, with what is said of it; as the platform writes it.
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a subject with a line break": ({"subject": "News\r\nBcc: all@acme.example"}, "The subject must be one line"),
    "a subject with a line break of Unicode": ({"subject": "News\u2028more"}, "The subject must be one line"),
    "an empty subject": ({"subject": "  "}, "The subject is empty."),
    "an empty body": ({"body": " \n"}, "The body is empty."),
    "a body that is too large": ({"body": "é" * LARGEST_BODY}, f"it may be {LARGEST_BODY}"),
    "a body of five megabytes": ({"body": "x" * 5_000_000}, f"it may be {LARGEST_BODY}"),
    "a mistake in a field": ({"body": "Hi {{ password }}"}, "{{ password }} is not a merge field"),
    "too many fields": (
        {"body": "{{ full_name }} " * 201},
        "The body has 201 merge fields; at most 200 can be filled in.",
    ),
    "too many fields in a subject": (
        {"subject": "{{ email }}" * 11},
        "The subject has 11 merge fields; at most 10 can be filled in.",
    ),
    "a default that is too long": (
        {"body": f'a\n\n{{{{ email | default: "{"x" * 257}" }}}}'},
        "Line 3: the default of email has more than 256 characters.",
    ),
    "a mail that is too large for some": (
        {"body": "{{ email }} " * 200 + "\n\n" + "\n\n".join(["学" * 9_000] * 8)},
        "The mail could have 3",
    ),
    "a link to nowhere": ({"body": "a\n\n[x](/courses)"}, "Line 3: a link cannot lead to '/courses'"),
    "a picture in the text": (
        {"body": "![x](data:image/png;base64,AA)"},
        "Line 1: the address of a picture has to begin",
    ),
    "nothing but a picture": ({"body": "![](https://a.example/x.png)"}, "the picture says nothing"),
    "marks that mean nothing": ({"body": "This is ** bold ** text"}, "Line 1: ** bold ** is not bold as it stands"),
    "a field in an address": ({"body": "https://a.example/{{ email }}"}, "Line 1: the address of a link cannot hold"),
    "a table without end": (
        {"body": "|a" * 250 + "|\n" + "|-" * 250 + "|\n" + "|\n" * 240},
        "Line 1: the tables have more than 5000 cells.",
    ),
    "an unknown time zone": (
        {"send_at": "2199-01-01T09:00", "time_zone": "Mars/Olympus"},
        "There is no time zone 'Mars/Olympus'",
    ),
    "an unknown time zone of no time": ({"time_zone": "Mars/Olympus"}, "There is no time zone 'Mars/Olympus'"),
    "a time zone that is a file elsewhere": (
        {"send_at": "2199-01-01T09:00", "time_zone": "../passwd"},
        "There is no time zone '../passwd'",
    ),
    "a time that clocks skip": (
        {"send_at": "2027-03-28T02:30", "time_zone": "Europe/Amsterdam"},
        "2027-03-28T02:30 does not exist in Europe/Amsterdam, where clocks go forward: write 2027-03-28T03:30,",
    ),
    "a time that clocks show twice": (
        {"send_at": "2027-10-31T02:30", "time_zone": "Europe/Amsterdam"},
        "write 2027-10-31T02:30+02:00 for the first time or 2027-10-31T02:30+01:00 for the second.",
    ),
}


def test_what_is_wrong_with_an_announcement_is_said_and_nothing_is_kept(world: World, refused: Refusal) -> None:
    for case, (said, why) in BAD.items():
        body = said.get("body", "Hello.")
        options = GOOD | {f"--{name.replace('_', '-')}": text for name, text in said.items()} | {"--body": "-"}
        line = refused("create", "--everyone", *(word for pair in options.items() for word in pair), stdin=body)

        assert why in line, case
    assert world.ask("SELECT count(*) FROM mailings") == 0


def test_what_is_wrong_with_an_event_sets_it_aside_with_the_reason(world: World) -> None:
    for case, (said, why) in BAD.items():
        event = world.announces(**said)
        world.settle()

        held = world.quarantine()[id_of(event)]
        assert held.state == "quarantined", case
        assert held.reason == ("bad schedule" if "time_zone" in said else "bad template"), case
        assert why in (held.detail or ""), case
    assert world.ask("SELECT count(*) FROM mailings") == 0


def test_what_may_be_said_no_more_is_refused_by_preview_test_launch_and_render(
    world: World, admin: Admin, refused: Refusal
) -> None:
    world.has_learners("A")
    admin("create", *(word for pair in GOOD.items() for word in pair), "--body", "Hello.", "--everyone")
    world.execute("UPDATE mailings SET body = 'a' || chr(10) || '[x](/courses)' WHERE id = 'news'")
    why = "the announcement news cannot be sent as it is: Line 2: a link cannot lead to '/courses'"

    assert refused("preview", "news").startswith(why)
    assert refused("test", "news", "--to", "admin@acme.example").startswith(why)
    assert refused("launch", "news").startswith(why)
    assert refused("edit", "news", "--subject", "More").startswith("Line 2: a link cannot lead to '/courses'")
    assert world.mail.taken == []
    admin("edit", "news", "--body", "Hello.")
    admin("launch", "news")
    world.comes_to_rest()
    assert world.progress("news").accepted == 1


def test_r20_what_may_be_said_no_more_at_its_time_asks_instead_of_firing(world: World) -> None:
    world.has_learners("A")
    world.announces(send_at=(datetime.now(UTC) + timedelta(seconds=1)).isoformat())
    world.execute("UPDATE mailings SET body = '[x](/courses)' WHERE id = 'news'")
    world.execute("UPDATE mailings SET send_at = now() WHERE id = 'news'")
    world.execute("UPDATE work SET due_at = now() WHERE actor = 'announcements.launch'")

    with capture_logs() as lines:
        world.comes_to_rest()

    assert [line["announcement"] for line in lines if line["event"] == "announcement.bad_template"] == ["news"]
    assert world.ask("SELECT state FROM mailings WHERE id = 'news'") == "late"
    assert world.mail.taken == []


def test_r31_an_author_who_writes_stand_ins_stops_nobody_and_is_mailed_as_text(world: World) -> None:
    world.has_learners("A", last_name="x" * 990)
    world.announces("forged", body='<p><a href="https://x.example/&#xFDD0;5&#xFDD1;">y</a></p>')
    world.announces("long", body="{{ full_name }} " * 150)
    world.announces("behind")
    world.comes_to_rest()

    assert world.quarantine() == {}
    assert [world.progress(name).accepted for name in ("forged", "long", "behind")] == [1, 1, 1]
    assert max(len(message.as_bytes()) for message in world.mail.to("a@acme.example")) < 150_000


def test_a_file_that_is_too_large_or_no_text_is_refused(world: World, refused: Refusal, tmp_path: Path) -> None:
    large, binary = tmp_path / "large.md", tmp_path / "binary.md"
    large.write_bytes(b"x" * 5_000_000)
    binary.write_bytes(b"\xff\xfe\x00")

    assert "5000000 bytes" in refused("create", "--everyone", "--subject", "News", "--body", f"@{large}")
    assert "UTF-8" in refused("create", "--everyone", "--subject", "News", "--body", f"@{binary}")
    assert "no file" in refused("create", "--everyone", "--subject", "News", "--body", f"@{tmp_path}/none.md")


def test_whom_it_is_for_must_be_known(world: World, refused: Refusal, tmp_path: Path) -> None:
    world.has_learners("A")
    file = tmp_path / "ids.txt"
    file.write_text("A\n" + "\n".join(f"nobody{n}" for n in range(7)) + "\n")
    words = ("--subject", "News", "--body", "Hello.")

    assert refused("create", *words, "--segment", "x") == "There is no segment 'x' in the organisation 'acme'."
    assert refused("create", *words, "--learner", "A", "--learner", "B") == (
        "There is no learner 'B' in the organisation 'acme'."
    )
    assert refused("create", *words, "--learners-file", str(file)).startswith(
        "There is no learner 'nobody0', 'nobody1', 'nobody2', 'nobody3', 'nobody4' and 2 more in the organisation"
    )
    assert world.ask("SELECT count(*) FROM mailings") == 0


def test_wrong_usage_is_told_apart_from_a_refusal(world: World, rollcall: Rollcall) -> None:
    def code(*words: str) -> int:
        return rollcall("create", "--subject", "News", "--body", "Hello.", *words).exit_code

    assert code() == 2, "nobody said whom it is for"
    assert code("--everyone", "--learner", "A") == 2
    assert code("--everyone", "--send-at", "tomorrow") == 2
    assert code("--everyone", "--policy", "guess") == 2
    assert code("--everyone", "--id", "x" * 201) == 2
    assert code("--everyone", "--id", "x", "--send-at", "2026-01-01T09:00") == 1, "it has passed"
    assert code("--everyone", "--id", "x") == 0
    assert code("--everyone", "--id", "x") == 1, "there is one already"


def test_r13_an_empty_file_of_learners_is_nobody(world: World, admin: Admin, tmp_path: Path) -> None:
    world.has_learners("A")
    file = tmp_path / "ids.csv"
    file.write_text("learner\n")
    admin("create", "--id", "news", "--subject", "News", "--body", "Hello.", "--learners-file", str(file))

    assert admin("preview", "news")["selected"] == 0
    admin("launch", "news")
    world.settle()

    assert (world.progress("news").state, world.progress("news").selected) == ("finished", 0)
    assert world.mail.taken == []


@pytest.mark.parametrize(
    ("send_at", "time_zone", "instant"),
    [
        ("2099-07-01T09:00:00", "Europe/Amsterdam", "2099-07-01T07:00:00.000000Z"),
        ("2099-07-01T09:00", "Europe/Amsterdam", "2099-07-01T07:00:00.000000Z"),
        ("2099-07-01T09:00-04:00", None, "2099-07-01T13:00:00.000000Z"),
        ("2099-07-01 09:00", None, "2099-07-01T09:00:00.000000Z"),
        ("2099-01-01T09:00:00", "Europe/Amsterdam", "2099-01-01T08:00:00.000000Z"),
        ("2099-01-01T09:00:00", "Asia/Kathmandu", "2099-01-01T03:15:00.000000Z"),
        ("2099-01-01T09:00:00", None, "2099-01-01T09:00:00.000000Z"),
        ("2099-01-01T09:00:00-05:00", "Europe/Amsterdam", "2099-01-01T14:00:00.000000Z"),
        ("2027-10-31T02:30:00+01:00", "Europe/Amsterdam", "2027-10-31T01:30:00.000000Z"),
    ],
)
def test_a_time_without_an_offset_is_one_of_the_time_zones_clocks(
    send_at: str, time_zone: str | None, instant: str, world: World, admin: Admin
) -> None:
    world.announces(send_at=send_at, time_zone=time_zone)
    zone = [] if time_zone is None else ["--time-zone", time_zone]
    admin("create", "--id", "mine", "--subject", "s", "--body", "b", "--everyone", "--send-at", send_at, *zone)

    assert world.list("SELECT DISTINCT send_at FROM mailings") == [datetime.fromisoformat(instant)]
    assert {one["send_at"] for one in admin("list")} == {instant}


def test_the_time_is_shown_as_the_clocks_of_its_zone_show_it(world: World, rollcall: Rollcall) -> None:
    world.announces(send_at="2099-07-01T09:00:00", time_zone="Europe/Amsterdam")

    assert "to be sent at 2099-07-01 09:00 Europe/Amsterdam" in rollcall("show", "news").stdout


def test_naive_and_aware_times_beyond_the_end_are_malformed(world: World) -> None:
    for number, send_at in enumerate(("9999-12-31T23:59:59", "9999-12-31T23:59:59Z", "1969-12-31T00:00:00")):
        world.announces(f"m{number}", send_at=send_at)

    assert {entry.reason for entry in world.quarantine().values()} == {"malformed"}
    assert datetime.now(UTC).year < 9999
    assert json.dumps(world.out("event.quarantined")) == "[]"
