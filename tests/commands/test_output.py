"""What the commands print: one JSON document that fits its schema, or one line on stderr and an exit code."""

import json
import os
import re
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_public_key
from starlette.datastructures import Headers
from typer.testing import CliRunner, Result

from config.settings import Settings, load_settings
from config.webhooks import BATCHED, STRUCTURED, Claim, EventsKey, Signatures
from tasks.events import Reason, inbox
from tasks.events.schemas import WHAT_TO_DO
from tests.world import DAWN, World, id_of
from workers import cli
from workers.schemas import FOLDER

Rollcall = Callable[..., Result]


@pytest.fixture
def rollcall(world: World, monkeypatch: pytest.MonkeyPatch) -> Rollcall:
    """The console script, over the world's servers; refusals end as they do for a user."""
    endpoints = world.runtime.endpoints
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATABASE_URL", endpoints.database_url)
    monkeypatch.setenv("REDIS_URL", endpoints.redis_url)
    monkeypatch.setenv("SMTP_URL", endpoints.smtp_url)
    monkeypatch.setenv("MAIL_FROM", endpoints.mail_from)
    monkeypatch.setenv("PUBLIC_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("SECRET_KEY", "only for tests")
    monkeypatch.setenv("ROLLCALL_HOME", str(world.runtime.home))
    load_settings.cache_clear()

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(cli.app, arguments, input=stdin)

    return run


@pytest.fixture
def refused(
    rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run a command that is to be refused; the one line it says on stderr."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["rollcall", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capfd.readouterr()
        assert end.value.code == 1
        assert printed.out == ""
        assert printed.err.count("\n") == 1
        return printed.err.strip()

    return run


def printed(name: str, result: Result) -> Any:
    """The one JSON document of a result, checked against the schema of its command."""
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    jsonschema.validate(document, json.loads((FOLDER / "commands" / f"{name}.json").read_text()))
    return document


@pytest.fixture
def story(world: World) -> World:
    """A learner with everything a learner can have, one who is inactive, and an announcement."""
    world.has_learners("A")
    world.has_learners("B", status="inactive")
    world.has_course("safety", "everyone")
    world.starts("A", "safety")
    world.say("course.started", learner="nobody", course="safety")
    world.say(
        "announcement.requested",
        announcement="hello",
        subject="Hello {{ first_name }}",
        body="Dear {{ first_name }}",
        audience={"everyone": True},
        send_at=None,
        time_zone="UTC",
    )
    world.settle()
    return world


def test_a_learner_is_shown_with_everything(story: World, rollcall: Rollcall) -> None:
    shown = printed("learners-show", rollcall("learners", "show", "A", "-o", "acme", "--json"))

    assert shown["status"] == "active"
    assert [(e["course"], e["access"], e["sources"]) for e in shown["enrolments"]] == [("safety", True, ["everyone"])]
    assert [(s["course"], s["amount"]) for s in shown["seats"]] == [("safety", 1)]
    assert [(m["kind"], m["state"]) for m in shown["mail"]] == [("enrolment", "accepted"), ("announcement", "accepted")]


def test_s08_how_a_learner_without_an_address_signs_in_is_shown(world: World, rollcall: Rollcall) -> None:
    world.has_learners("A", email=None)
    world.has_learners("B", email=None, username=None)

    lines = [rollcall("learners", "show", id_, "-o", "acme").stdout.splitlines()[0] for id_ in ("A", "B")]

    assert lines == [
        "A FirstA LastA, active, signs in by username user-A",
        "B FirstB LastB, active, has neither e-mail address nor username",
    ]


def test_r03_what_is_missing_for_access_is_named(story: World, rollcall: Rollcall) -> None:
    shown = printed("learners-show", rollcall("learners", "show", "B", "-o", "acme", "--json"))

    assert [(e["access"], e["missing"]) for e in shown["enrolments"]] == [(False, ["active"])]
    assert "no: it is missing active" in rollcall("learners", "show", "B", "-o", "acme").stdout.replace("\n", " ")


def test_r01_a_toggle_by_hand_takes_effect_and_again_does_nothing(story: World, rollcall: Rollcall) -> None:
    first = printed("learners-activate", rollcall("learners", "activate", "B", "A", "-o", "acme", "--json"))
    again = printed("learners-activate", rollcall("learners", "activate", "B", "-o", "acme", "--json"))
    back = printed("learners-deactivate", rollcall("learners", "deactivate", "B", "-o", "acme", "--json"))

    assert first == [
        {"learner": "B", "status": "active", "changed": True},
        {"learner": "A", "status": "active", "changed": False},
    ]
    assert again == [{"learner": "B", "status": "active", "changed": False}]
    assert back == [{"learner": "B", "status": "inactive", "changed": True}]
    story.settle()
    assert story.out("access.activated") == [{"learner": "B", "courses": ["safety"]}]


def test_s01_a_change_by_hand_holds_against_a_clock_that_is_ahead(story: World, rollcall: Rollcall) -> None:
    story.becomes("active", "A", at=datetime.now(UTC) + timedelta(seconds=60))

    done = printed("learners-deactivate", rollcall("learners", "deactivate", "A", "-o", "acme", "--json"))

    assert done == [{"learner": "A", "status": "inactive", "changed": True}]
    assert story.access("A") == set()


def test_r15_who_gets_announcements_is_put_right_by_hand(story: World, rollcall: Rollcall) -> None:
    def skipped(announcement: str) -> dict[str, int]:
        story.announces(announcement)
        story.settle()
        return story.progress(announcement).skipped

    gone = printed("learners-unsubscribe", rollcall("learners", "unsubscribe", "A", "B", "-o", "acme", "--json"))
    again = printed("learners-unsubscribe", rollcall("learners", "unsubscribe", "A", "-o", "acme", "--json"))
    shown = printed("learners-show", rollcall("learners", "show", "A", "-o", "acme", "--json"))
    told = rollcall("learners", "show", "A", "-o", "acme").stdout
    without = skipped("without")
    back = printed("learners-resubscribe", rollcall("learners", "resubscribe", "A", "-o", "acme", "--json"))

    assert gone == [{"learner": "A", "subscribed": False}, {"learner": "B", "subscribed": False}]
    assert again == [{"learner": "A", "subscribed": False}]
    assert back == [{"learner": "A", "subscribed": True}]
    assert shown["unsubscribed_at"] is not None
    assert "no announcements: unsubscribed since" in told
    assert (without, skipped("with")) == ({"unsubscribed": 1, "inactive": 1}, {"inactive": 1})
    assert (
        printed("learners-show", rollcall("learners", "show", "A", "-o", "acme", "--json"))["unsubscribed_at"] is None
    )


def test_nobody_is_unsubscribed_where_one_is_unknown(story: World, refused: Callable[..., str]) -> None:
    line = refused("learners", "unsubscribe", "A", "nobody", "-o", "acme")

    assert line == "Nothing was changed: 'acme' has no learner 'nobody'."
    assert story.ask("SELECT count(*) FROM unsubscribed") == 0


def test_the_record_of_the_key_that_signs_is_printed(
    rollcall: Rollcall, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused("mail", "dkim") == "DKIM_KEY is not set: mail is not signed."

    key = generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    monkeypatch.setenv("DKIM_KEY", pem)
    monkeypatch.setenv("DKIM_SELECTOR", "s1")
    load_settings.cache_clear()
    record = printed("mail-dkim", rollcall("mail", "dkim", "--json"))
    line = rollcall("mail", "dkim").stdout

    assert (record["name"], record["type"]) == ("s1._domainkey.rollcall.example", "TXT")
    published = load_der_public_key(b64decode(record["value"].removeprefix("v=DKIM1; k=rsa; p=")))
    assert published == key.public_key()
    strings = re.findall(r'"([^"]*)"', line)
    assert "".join(strings) == record["value"]
    assert max(map(len, strings)) <= 255
    assert line.startswith("s1._domainkey.rollcall.example. IN TXT (")
    assert line.count("\n") == 1


def test_an_unknown_learner_changes_nothing_for_the_others(story: World, refused: Callable[..., str]) -> None:
    line = refused("learners", "deactivate", "A", "nobody", "-o", "acme")

    assert line == "Nothing was changed: 'acme' has no learner 'nobody'."
    assert story.access("A") == {"safety"}


def test_an_announcement_goes_from_draft_to_finished(story: World, rollcall: Rollcall) -> None:
    created = printed(
        "announcements-create",
        rollcall(
            "announcements", "create", "-o", "acme", "--everyone", "--subject", "News, {{ first_name }}",
            "--body", "-", "--id", "news", "--json", stdin="Dear {{ first_name }},\n\nnews.",
        ),
    )  # fmt: skip
    draft = printed("announcements-show", rollcall("announcements", "show", "news", "-o", "acme", "--json"))
    launched = printed("announcements-launch", rollcall("announcements", "launch", "news", "-o", "acme", "--json"))
    story.settle()
    shown = printed("announcements-show", rollcall("announcements", "show", "news", "-o", "acme", "--json"))

    assert created == {"announcement": "news", "state": "draft"}
    assert draft["selected"] == 0
    assert launched["state"] == "sending"
    assert shown == {
        "announcement": "news", "state": "finished", "selected": 2, "accepted": 1, "skipped": {"inactive": 1},
        "failed": 0, "cancelled": 0, "uncertain": 0, "pending": 0,
    }  # fmt: skip
    assert [m["Subject"] for m in story.mail.to("a@acme.example")][-1] == "News, FirstA"
    listed = printed("announcements-list", rollcall("announcements", "list", "-o", "acme", "--json"))
    assert [one["announcement"] for one in listed] == ["news", "hello"]


def test_what_the_commands_of_announcements_print_fits_its_schema(story: World, rollcall: Rollcall) -> None:
    def print_(command: str, *words: str, schema: str | None = None) -> Any:
        done = rollcall("announcements", command, "news", *words, "-o", "acme", "--json")
        return printed(f"announcements-{schema or command}", done)

    rollcall(
        "announcements", "create", "-o", "acme", "--everyone", "--subject", "News", "--body", "{{ last_name }}",
        "--id", "news",
    )  # fmt: skip
    assert print_("preview")["will_receive"] == 1
    assert print_("test", "--to", "boss@acme.example")["answer"] == "accepted"
    assert print_("edit", "--send-at", "2099-01-01T09:00")["state"] == "draft"
    assert print_("launch")["state"] == "scheduled"
    assert print_("unschedule")["state"] == "draft"
    assert print_("launch", "--now")["state"] == "sending"
    story.mail.reset()
    story.mail.on_recipient = lambda _address, times: "500 no" if not times else None
    story.settle()
    assert print_("retry-failed")["pending"] == 1
    story.settle()
    assert print_("show")["state"] == "finished"
    assert len(print_("show", "--history", schema="show-history")) == 8
    shown = printed("announcements-list", rollcall("announcements", "list", "-o", "acme", "--json"))
    assert [one["accepted"] for one in shown] == [1, 1]


def test_a_mistake_in_a_template_is_shown_before_anything_is_kept(story: World, refused: Callable[..., str]) -> None:
    line = refused(
        "announcements", "create", "-o", "acme", "--everyone", "--subject", "Hi", "--body", "{{ password }}"
    )  # fmt: skip

    assert "password" in line
    assert story.ask("SELECT count(*) FROM mailings WHERE kind = 'announcement'") == 1


def test_launching_what_is_finished_is_refused(story: World, refused: Callable[..., str]) -> None:
    assert refused("announcements", "launch", "hello", "-o", "acme").startswith("the announcement hello is finished")


@pytest.mark.parametrize(
    "arguments",
    [
        ("announcements", "create", "-o", "acme", "--subject", "a", "--body", "b"),
        ("announcements", "create", "-o", "acme", "--subject", "a", "--body", "b", "--everyone", "--learner", "A"),
        ("announcements", "create", "-o", "acme", "--subject", "a", "--body", "b", "--everyone", "--send-at", "noon"),
        ("learners", "show", "A"),
        ("reports", "training", "-o", "acme", "--tab", "all"),
        ("run", "pool", "sideways"),
    ],
)
def test_wrong_usage_exits_with_two(rollcall: Rollcall, arguments: tuple[str, ...]) -> None:
    assert rollcall(*arguments).exit_code == 2


def test_seats_show_and_ledger_agree(story: World, rollcall: Rollcall) -> None:
    shown = printed("seats-show", rollcall("seats", "show", "-o", "acme", "--json"))
    ledger = printed("seats-ledger", rollcall("seats", "ledger", "-o", "acme", "--json"))

    assert (shown["unit"], shown["pool"], shown["used"], shown["remaining"]) == ("credit", 1000, 1, 999)
    assert sum(entry["amount"] for entry in ledger) == shown["used"]


def test_the_ledger_is_streamed_in_every_format_and_by_what_is_wanted(story: World, rollcall: Rollcall) -> None:
    story.has_learners("C", at=DAWN)
    story.starts("C", "safety", at=DAWN - timedelta(days=9, minutes=30))
    story.has_course("=1", "everyone", cost=2)
    story.starts("A", "=1")

    def ledger(*words: str) -> Any:
        return printed("seats-ledger", rollcall("seats", "ledger", "-o", "acme", "--json", *words))

    def text(*words: str) -> list[str]:
        return rollcall("seats", "ledger", "-o", "acme", *words).stdout.splitlines()

    everything = ledger()
    assert [entry["learner"] for entry in everything] == ["A", "A"]
    assert ledger("--learner", "A", "--since", "2026-01-10T09:00:00", "--until", "2026-02-01") == everything
    assert ledger("--learner", "C") == ledger("--until", "2026-01-10") == ledger("--review") == []
    assert [json.loads(line) for line in text("--format", "jsonl")] == everything
    header, *lines = text("--format", "csv")
    assert header == "id,organisation,learner,course,cycle,unit,amount,occurred_at,event,overdrawn,review"
    assert (len(lines), ",'=1," in lines[1]) == (2, True)
    assert len(text()) == 3


def test_r28_a_person_says_that_they_looked_at_a_flag(
    story: World, rollcall: Rollcall, refused: Callable[..., str]
) -> None:
    story.becomes("inactive", "A", at=DAWN)
    [flagged] = printed("seats-ledger", rollcall("seats", "ledger", "-o", "acme", "--review", "--json"))
    assert flagged["review"] == "learner inactive"
    looked = ("seats", "reviewed", flagged["id"], "-o", "acme", "--why", "on parental leave", "--by", "Kim")
    assert refused("seats", "reviewed", flagged["id"], "99", "-o", "acme", "--why", "so").startswith("Nothing was")

    done = printed("seats-reviewed", rollcall(*looked, "--json"))
    story.becomes("active", "A", at=DAWN - timedelta(days=1))
    story.becomes("inactive", "A", at=DAWN)

    assert done == [{"id": flagged["id"], "settled": ["learner inactive"]}]
    [entry] = printed("seats-ledger", rollcall("seats", "ledger", "-o", "acme", "--json"))
    assert entry == flagged | {"review": None}
    assert printed("seats-show", rollcall("seats", "show", "-o", "acme", "--json"))["review"] == 0
    assert story.rows("SELECT code, by_whom, why FROM settled_reviews") == [
        ("learner inactive", "Kim", "on parental leave")
    ]
    assert refused(*looked).startswith("Nothing was changed")


def test_seats_show_says_how_much_of_the_pool_is_used_and_what_earlier_periods_used(
    story: World, rollcall: Rollcall
) -> None:
    story.has_organisation("credits", 1)
    story.has_organisation("credits", 1, licence_starts="2026-02-01")
    story.has_course("law", "everyone")
    story.starts("A", "law", at=DAWN + timedelta(days=40))
    story.has_organisation("credits", 8, licence_starts="2026-02-01")

    shown = printed("seats-show", rollcall("seats", "show", "-o", "acme", "--all-periods", "--json"))

    assert (shown["percent"], shown["warned"]) == (12, [])
    assert [(period["used"], period["entries"]) for period in shown["periods"]] == [(1, 1), (1, 1)]
    assert "7 of 8 left (12 % used)" in rollcall("seats", "show", "-o", "acme").stdout


def test_r28_the_ledger_is_proved_and_balances_are_mended(
    story: World, rollcall: Rollcall, refused: Callable[..., str]
) -> None:
    right = printed("seats-verify", rollcall("seats", "verify", "--json"))
    story.execute("UPDATE balances SET used = 9")
    wrong = rollcall("seats", "verify", "-o", "acme")
    mended = printed("seats-verify", rollcall("seats", "verify", "--repair", "--json"))
    story.execute("DELETE FROM outbox WHERE type = 'rollcall.seat.consumed'")
    beyond = rollcall("seats", "verify", "--repair")

    assert right == {"organisations": 1, "entries": 1, "announced": 1, "balances": 1, "off": [], "repaired": 0}
    assert "acme: balance credit 2026-01-01T00:00:00.000000Z: the balance says 9, its entries 1" in wrong.stdout
    assert (wrong.exit_code, beyond.exit_code) == (1, 1)
    assert (mended["repaired"], [off["what"] for off in mended["off"]]) == (1, ["balance"])
    assert "acme: not announced" in beyond.stdout
    assert refused("seats", "verify", "-o", "nobody") == "There is no organisation 'nobody'."


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
    monkeypatch.setattr(inbox, "PAGE", 7)
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


def test_a_ledger_without_anything_to_review_says_just_that(story: World, rollcall: Rollcall) -> None:
    assert "Nothing is to be reviewed." in rollcall("seats", "ledger", "-o", "acme", "--review").stdout


def test_publish_puts_lines_on_the_stream_as_they_are(story: World, rollcall: Rollcall) -> None:
    done = printed("events-publish", rollcall("events", "publish", "-", "--json", stdin='{"a": "ü"}\n\n{"b": 2}\n'))
    raw = printed("events-publish", rollcall("events", "publish", "-", "--raw", "--json", stdin="not json\n"))

    assert (done, raw) == ({"published": 2}, {"published": 1})
    entries: Any = story.redis.xrange("rollcall:in")
    assert [fields[b"event"] for _, fields in entries] == ['{"a": "ü"}'.encode(), b'{"b": 2}', b"not json"]


def test_wait_returns_at_rest_and_says_what_is_left_otherwise(
    story: World, rollcall: Rollcall, refused: Callable[..., str]
) -> None:
    assert printed("wait", rollcall("wait", "--json")) == {"at_rest": True, "left": {}}
    assert printed("status", rollcall("status", "--json"))["at_rest"] is True

    story.redis.xadd("rollcall:in", {"event": b"{}"})

    assert refused("wait", "--timeout", "0") == "Not at rest after 0 s: 1 event unread left."


def test_r31_what_waits_for_its_turn_is_waited_for_and_counted_by_itself(
    story: World, rollcall: Rollcall, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.events.rules.TURN", 1)
    before = printed("status", rollcall("status", "--json"))["quarantine"]

    story.send(*(story.event("segment.saved", {"segment": id_, "name": id_}) for id_ in ("s1", "s2", "s3")))

    assert refused("wait", "--timeout", "0") == "Not at rest after 0 s: 1 piece of work left."
    assert printed("status", rollcall("status", "--json"))["quarantine"] == {**before, "turn": 2}
    assert "2 waiting for their turn" in " ".join(rollcall("status").stdout.split())
    listed = printed("events-quarantined", rollcall("events", "quarantined", "--reason", "its turn", "--json"))
    assert [entry["state"] for entry in listed] == ["waiting"] * 2
    rollcall("learners", "deactivate", "A", "-o", "acme")
    assert story.ask("SELECT standing FROM learners WHERE id = 'A'") == "inactive", "a person's change is made at once"

    story.settle()
    assert printed("wait", rollcall("wait", "--json")) == {"at_rest": True, "left": {}}
    assert printed("status", rollcall("status", "--json"))["quarantine"] == before


def test_where_every_server_is_named_nothing_is_written_and_no_home_is_needed(
    story: World, rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLLCALL_HOME", "/proc/read-only/home")  # where nobody can make anything
    load_settings.cache_clear()

    assert printed("status", rollcall("status", "--json"))["at_rest"] is True
    assert printed("learners-show", rollcall("learners", "show", "A", "-o", "acme", "--json"))["status"] == "active"


def test_a_schema_that_is_not_this_codes_is_refused(story: World, refused: Callable[..., str]) -> None:
    story.list("UPDATE alembic_version SET version_num = '0000' RETURNING version_num")

    assert "run rollcall migrate" in refused("seats", "show", "-o", "acme")


def test_migrate_says_where_the_schema_was_and_is(rollcall: Rollcall) -> None:
    done = printed("migrate", rollcall("migrate", "--json"))

    assert done["before"] == done["after"]


def test_r10_reconcile_says_what_is_off_and_mends_it(
    story: World, rollcall: Rollcall, refused: Callable[..., str]
) -> None:
    assert printed("reconcile", rollcall("reconcile", "--json")) == {
        "organisations": 1,
        "off": [],
        "repaired": False,
        "restored": False,
    }
    assert "everything agrees" in rollcall("reconcile", "-o", "acme").stdout

    story.execute("DELETE FROM enrolments WHERE learner = 2")

    off = rollcall("reconcile", "--json")
    assert off.exit_code == 1
    found = {"organisation": "acme", "deviation": "missing", "course": "safety", "n": 1}
    assert json.loads(off.stdout)["off"] == [found]
    assert printed("reconcile", rollcall("reconcile", "--repair", "--json")) == {
        "organisations": 1,
        "off": [found],
        "repaired": True,
        "restored": False,
    }
    assert printed("reconcile", rollcall("reconcile", "--json"))["off"] == []
    assert refused("reconcile", "-o", "nobody") == "There is no organisation 'nobody'."


def test_what_a_person_named_is_printed_as_it_is(world: World, rollcall: Rollcall) -> None:
    world.has_course("x", title="Intro [/b] to [draft]")

    assert "Intro [/b] to [draft]" in rollcall("reports", "summary", "-o", "acme").stdout


def test_r03_show_explains_what_is_missing_of_access(
    world: World, rollcall: Rollcall, refused: Callable[..., str]
) -> None:
    world.has_learners("A")
    world.has_learners("B", status="inactive")
    world.has_course("all", "everyone")
    world.has_course("held", "everyone", on_hold=True)
    world.has_course("none")
    world.has_course("gone", "everyone")
    world.withdraws("gone", "A")

    def missing(learner: str, course: str) -> list[str]:
        shown = printed(
            "learners-show", rollcall("learners", "show", learner, "-o", "acme", "--course", course, "--json")
        )
        assert shown["explained"]["access"] == (not shown["explained"]["missing"])
        found: list[str] = shown["explained"]["missing"]
        return found

    assert {course: missing("A", course) for course in ("all", "held", "none", "gone")} == {
        "all": [],
        "held": ["not on hold"],
        "none": ["enrolled"],
        "gone": ["not withdrawn"],
    }
    assert missing("B", "none") == ["active", "enrolled"]
    printed_for_a_person = rollcall("learners", "show", "B", "-o", "acme", "--course", "held").stdout
    assert "access to held: no: it is missing active, not on hold" in printed_for_a_person
    assert refused("learners", "show", "A", "-o", "acme", "--course", "x") == (
        "There is no course 'x' in the organisation 'acme'."
    )
