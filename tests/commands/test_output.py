"""What the commands print: one JSON document that fits its schema, or one line on stderr and an exit code."""

import json
import re
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_public_key

from config.settings import load_settings
from tests.commands.console import Rollcall, printed, refused, rollcall, story
from tests.world import World

__all__ = ["refused", "rollcall", "story"]  # fixtures


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


def test_what_an_older_rollcall_says_of_a_newer_schema(
    story: World, rollcall: Rollcall, refused: Callable[..., str]
) -> None:
    story.execute("UPDATE alembic_version SET version_num = '9999', oldest = '0038'")
    assert rollcall("seats", "show", "-o", "acme").exit_code == 0
    assert "is at 9999, ahead of this Rollcall" in rollcall("migrate").stdout

    story.execute("UPDATE alembic_version SET oldest = '9999'")
    assert "install the newer one" in refused("seats", "show", "-o", "acme")
    assert "install the newer one" in refused("migrate")


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
