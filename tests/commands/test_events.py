"""What the commands on events print: what could not be taken, and what is published."""

import json
import os
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

from config.signed_events import BATCHED, STRUCTURED, Claim, EventsKey, Signatures
from tasks.events import Reason, quarantine
from tasks.events.schemas import WHAT_TO_DO
from tests.commands.console import Rollcall, printed, refused, rollcall, story
from tests.world import World, id_of

__all__ = ["refused", "rollcall", "story"]  # fixtures


def test_what_could_not_be_taken_is_listed_with_its_payload_and_what_to_do(
    story: World, rollcall: Rollcall, refused: Callable[..., str]
) -> None:
    huge = b"\xff" + b"x" * 9_000_000
    text = story.event("learner.saved", {"learner": 7}, id_="[/b]é")
    story.send(huge, text)

    waits, broken, no_text = printed("events-quarantined", rollcall("events", "quarantined", "--json"))

    assert (waits["state"], waits["reason"], waits["organisation"]) == ("waiting", "unknown learner", "acme")
    assert waits["waits_for"] == "the learner nobody"
    assert json.loads(waits["payload"])["data"] == {"learner": "nobody", "course": "safety"}
    assert all(entry["what_to_do"] == WHAT_TO_DO[Reason(entry["reason"])] for entry in (waits, no_text, broken))
    assert (no_text["payload_is"], b64decode(no_text["payload"])) == ("base64", huge)
    assert (broken["payload_is"], broken["payload"].encode()) == ("text", text)
    told = rollcall("events", "quarantined").stdout
    assert "in base64: /3h4" in told
    assert len(told) < 5000
    assert f"What to do where the reason is “malformed”: {WHAT_TO_DO[Reason.MALFORMED]}." in told

    number = str(no_text["number"])
    assert refused("events", "discard", "", "--why", "noise", "-o", "acme") == "no event  waits or is quarantined"
    discarded = printed("events-discard", rollcall("events", "discard", "--number", number, "--why", "noise", "--json"))
    assert discarded == [{"id": number, "state": "discarded"}]

    def listed(*options: str) -> list[str]:
        return [e["id"] for e in printed("events-quarantined", rollcall("events", "quarantined", *options, "--json"))]

    assert listed("--reason", "malformed") == ["[/b]é"]
    assert listed("--state", "waiting") == listed("--limit", "1") == [waits["id"]]
    assert listed("-o", "other") == []


def test_r32_what_could_not_be_taken_is_listed_however_much_it_is(
    story: World, rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "PAGE", 7)
    story.send(*(b"%d" % n for n in range(10, 35)))

    listed = printed("events-quarantined", rollcall("events", "quarantined", "--json"))

    assert [entry["payload"] for entry in listed[1:]] == [str(n) for n in range(10, 35)]
    told = rollcall("events", "quarantined").stdout.splitlines()
    assert [told.count(f"    {n}") for n in range(10, 35)] == [1] * 25


def test_r27_a_person_releases_or_discards_what_could_not_be_taken(
    story: World, rollcall: Rollcall, refused: Callable[..., str]
) -> None:
    start = id_of(story.starts("B", "safety"))
    [unknown] = [id_ for id_, entry in story.quarantine().items() if entry.reason == "unknown learner"]

    released = printed("events-release", rollcall("events", "release", start, "--json"))
    discarded = printed("events-discard", rollcall("events", "discard", unknown, "--why", "a typing error", "--json"))

    assert (released, discarded) == ([{"id": start, "state": "released"}], [{"id": unknown, "state": "discarded"}])
    assert [entry.learner for entry in story.ledger()] == ["A", "B"]
    assert refused("events", "release", start) == f"no event {start} waits or is quarantined"
    assert rollcall("events", "discard", unknown).exit_code == 2
    decided = printed("events-decided", rollcall("events", "decided", "--json"))
    assert [(one["id"], one["state"], one["reason"], one["why"]) for one in decided] == [
        (unknown, "discarded", "unknown learner", "a typing error"),
        (start, "released", "learner inactive", "released by hand"),
    ]
    assert all(one["by"] and one["at"] for one in decided)
    assert printed("events-decided", rollcall("events", "decided", "-o", "other", "--json")) == []
    assert "a typing error" in rollcall("events", "decided").stdout


def test_a_file_is_signed_for_posting(
    story: World, rollcall: Rollcall, refused: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "event.json"
    file.write_bytes(story.event("learner.saved", story.learner("C")))

    signed = printed("events-sign", rollcall("events", "sign", str(file), "--json"))
    lines = dict(line.split(": ", 1) for line in rollcall("events", "sign", "-", stdin="[]").stdout.splitlines())

    assert signed["url"] == "http://127.0.0.1:1/events"
    key = EventsKey(printed("events-key", rollcall("events", "key", "--json"))["key"])
    assert rollcall("events", "key").stdout == f"{key.key}\n"
    assert Signatures([EventsKey("another"), key]).check(Claim.read(Headers(signed["headers"])), file.read_bytes())
    assert Signatures([key]).check(Claim.read(Headers(lines)), b"[]")
    assert refused("events", "key", "--bound-to", "acme").startswith("No key is bound to acme: put acme=whsec_… into")
    assert (signed["headers"]["content-type"], lines["content-type"]) == (STRUCTURED[0], BATCHED)
    file.write_bytes(b"\xff")
    assert refused("events", "sign", str(file)) == f"{file} is not UTF-8."
    assert refused("events", "sign", str(tmp_path)) == f"There is no file {tmp_path} to be read."


def test_r31_an_id_that_two_organisations_use_names_neither(story: World, refused: Callable[..., str]) -> None:
    for organisation in ("acme", "other"):
        story.send(
            story.event("course.started", {"learner": "nobody", "course": "safety"}, id_=f"same-{organisation}"),
            story.event(
                "course.started", {"learner": "nobody", "course": "safety"}, id_="same", organisation=organisation,
                source=f"urn:{organisation}",
            ),
        )  # fmt: skip

    assert refused("events", "discard", "same", "--why", "a guess").startswith("2 events are called same")
    assert refused("events", "release", "same", "-o", "third") == "no event same waits or is quarantined"


def test_s02_a_status_that_is_in_the_history_is_not_discarded(story: World, refused: Callable[..., str]) -> None:
    story.becomes("inactive", "later")
    [waiting] = [id_ for id_, entry in story.quarantine().items() if "kept until" in (entry.detail or "")]

    assert "send a newer status instead" in refused("events", "discard", waiting, "--why", "a mistake")


def test_publish_refuses_a_file_with_a_line_that_is_not_json(
    story: World, refused: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b'{"a": 1}\n\nnot json\n')

    assert refused("events", "publish", str(file)) == (
        f"{file}, line 3: this is not JSON, nothing was published (--raw publishes it as it is)."
    )
    assert story.redis.xlen("rollcall:in") == 0


def test_publish_takes_what_can_be_read_and_says_why_not_otherwise(
    story: World, rollcall: Rollcall, refused: Callable[..., str], tmp_path: Path
) -> None:
    read, write = os.pipe()  # as `<(...)` makes one
    with os.fdopen(write, "w") as file:
        file.write('{"a": 1}\n{"b": 2}\n')
    piped = printed("events-publish", rollcall("events", "publish", f"/dev/fd/{read}", "--json"))
    os.close(read)
    nothing = printed("events-publish", rollcall("events", "publish", "/dev/null", "--json"))

    assert (piped, nothing) == ({"published": 2}, {"published": 0})
    assert refused("events", "publish", str(tmp_path)) == f"{tmp_path} cannot be read: Is a directory."
    assert refused("events", "publish", f"{tmp_path}/no") == f"{tmp_path}/no cannot be read: No such file or directory."


def test_publish_puts_lines_on_the_stream_as_they_are(story: World, rollcall: Rollcall) -> None:
    done = printed("events-publish", rollcall("events", "publish", "-", "--json", stdin='{"a": "ü"}\n\n{"b": 2}\n'))
    raw = printed("events-publish", rollcall("events", "publish", "-", "--raw", "--json", stdin="not json\n"))

    assert (done, raw) == ({"published": 2}, {"published": 1})
    entries: Any = story.redis.xrange("rollcall:in")
    assert [fields[b"event"] for _, fields in entries] == ['{"a": "ü"}'.encode(), b'{"b": 2}', b"not json"]
