"""A server that refuses us, or that cannot be reached: nothing is burnt by it, and it is said. R18, R21, R31."""

import json
import re
from collections.abc import Sequence

import jsonschema
import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from config.settings import SmtpServer
from tasks import system
from tasks.mail.ledger import deliveries
from tasks.mail.rules import Outcome
from tasks.mail.sending.checking import check
from tasks.mail.sending.outages import EVERYWHERE
from tasks.mail.sending.rates import Feedback, Rates, current_outages
from tasks.system import in_redis
from tests.isolation.conftest import Rollcall, rollcall
from tests.mail.scripted import Script, serving
from tests.mailserver import free_port
from tests.world import World
from workers.schemas import FOLDER
from workers.web import watching
from workers.web.metrics import Numbers

__all__ = ["rollcall"]


def stopped(world: World) -> list[tuple[str, str, int | None, str]]:
    """Where no mail goes, as everybody who looks sees it."""
    found = current_outages(world.redis, world.runtime.endpoints.mail_from)
    assert system.system_state(world.runtime, world.redis).mail_stopped == found
    return [(one.where, one.about, one.code, one.said) for one in found]


ANSWERS = [
    ("on_sender", "530 5.7.0 Must issue a STARTTLS command first", EVERYWHERE, "our sign-in or encryption"),
    ("on_recipient", "554 5.7.1 Access denied", "acme.example", "policy"),
    ("on_recipient", "550 relay not permitted", EVERYWHERE, "our sign-in or encryption"),
    ("on_data", "554 Message rejected: Email address is not verified.", "acme.example", "our sender"),
]


@pytest.mark.parametrize(("where", "answer", "whom", "about"), ANSWERS)
def test_r21_a_server_that_refuses_us_burns_nothing_says_so_and_all_goes_once_it_is_mended(
    world: World, where: str, answer: str, whom: str, about: str
) -> None:
    world.has_learners(*(f"L{n}" for n in range(30)))
    setattr(world.mail, where, lambda *_: answer)
    world.has_course("safety", "everyone")
    world.announces()
    world.settle()

    counts = world.progress("news")
    assert (counts.state, counts.pending, counts.failed) == ("sending", 30, 0)
    assert world.list("SELECT DISTINCT CAST(state AS text) FROM deliveries") == ["pending"]
    assert world.list("SELECT DISTINCT attempts FROM deliveries") == [0]
    assert world.list("SELECT address FROM suppressions") == []
    assert stopped(world) == [(whom, about, int(answer[:3]), answer[4:])]

    world.mail.reset()
    world.comes_to_rest(60)

    assert sorted(set(world.mail.recipients)) == sorted(f"l{n}@acme.example" for n in range(30))
    assert len(world.mail.recipients) == 60, "the notice and the announcement, each once"
    assert world.progress("news").state == "finished"
    assert stopped(world) == []


def test_r31_a_domain_that_alone_may_not_be_relayed_to_holds_up_no_other(world: World) -> None:
    world.has_learners(*(f"L{n}" for n in range(20)))
    world.send(*(world.event("learner.saved", world.learner(f"F{n}", email=f"f{n}@far.example")) for n in range(60)))
    world.mail.on_recipient = lambda address, _: "554 5.7.1 Relay access denied" if "far" in address else None
    world.announces()
    world.settle()
    world.settle()
    assert [where for where, *_ in stopped(world)] == ["far.example"], "also where its mail is all that is left"

    world.has_learners("M1")
    world.announces("more", audience={"learners": ["M1"]})
    world.settle()
    assert world.progress("more").accepted == 1


def test_r31_a_domain_that_refuses_one_organisations_mail_holds_up_no_others(world: World) -> None:
    world.has_learners(*(f"L{n}" for n in range(20)))
    world.mail.on_recipient = lambda address, _: "554 5.7.1 Access denied" if "acme" in address else None
    world.announces()
    world.settle()
    assert [where for where, *_ in stopped(world)] == ["acme.example"]

    described: dict[str, object] = {
        "name": "Beta", "licence": "credits", "pool": None, "licence_starts": "2026-01-01",
        "licence_ends": "2026-12-31", "admin_emails": [], "reactivation_digest": False,
    }  # fmt: skip
    said = {"announcement": "theirs", "subject": "Hi", "body": "Hello.", "audience": {"everyone": True}}
    theirs = [world.learner(f"B{n}", email=f"b{n}@beta.example") for n in range(20)]
    world.send(
        world.event("organisation.saved", described, organisation="beta"),
        *(world.event("learner.saved", learner, organisation="beta") for learner in theirs),
        world.event("announcement.requested", said, organisation="beta"),
    )
    world.settle()

    assert world.mail.recipients == sorted(f"b{n}@beta.example" for n in range(20))
    assert world.progress("news").failed == 0


def test_r21_an_announcement_that_nearly_everybody_refuses_pauses_itself_and_says_why(
    world: World, rollcall: Rollcall
) -> None:
    world.has_learners(*(f"L{n}" for n in range(40)))
    world.mail.on_recipient = lambda address, _: "550 5.1.1 no such user" if address == "l3@acme.example" else "550 no"
    world.announces()
    world.settle()

    assert world.progress("news").state == "paused"
    assert world.list("SELECT address FROM suppressions") == ["l3@acme.example"]
    done = rollcall("announcements", "show", "news", "-o", "acme", "--json")
    shown = json.loads(done.stdout)
    jsonschema.validate(shown, json.loads((FOLDER / "commands" / "announcements-show.json").read_text()))
    assert re.search(r"refused, the last one with: 550", shown["why"])

    with world.about() as (connection, org):
        from tasks import announcements  # noqa: PLC0415 - what only this test needs

        found = announcements.find(connection, org.organisation, "news")
        assert found is not None
        announcements.resume(connection, org.organisation, found, by="Ada")
    world.comes_to_rest()
    counts = world.progress("news")
    assert (counts.state, counts.failed) == ("finished with failures", 40), "a person has looked: it is final"


def test_r21_an_outage_is_told_before_the_ledger_is_written_which_may_have_to_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.has_learners("A")
    world.mail.on_sender = lambda: "530 5.7.0 Authentication required"
    known: list[list[str]] = []
    settle = deliveries.settle

    def look_and_settle(connection: Connection, organisation: int, mailing: int, outcomes: Sequence[Outcome]) -> None:
        if outcomes:
            known.append([where for where, *_ in stopped(world)])
        settle(connection, organisation, mailing, outcomes)

    monkeypatch.setattr(deliveries, "settle", look_and_settle)
    world.announces()
    world.settle()

    assert {tuple(one) for one in known} == {(EVERYWHERE,)}, "each time that it was tried"


@pytest.mark.parametrize(("fresh", "times"), [(60.0, 1), (0.0, 0)])
def test_r21_that_all_was_accepted_is_told_unless_the_ledger_had_to_wait_for_long(
    world: World, monkeypatch: pytest.MonkeyPatch, fresh: float, times: int
) -> None:
    monkeypatch.setattr("tasks.mail.sending.rates.FRESH_SECONDS", fresh)
    learnt: list[Feedback] = []
    monkeypatch.setattr(Rates, "learn", lambda _rates, feedback: learnt.append(feedback))
    world.has_learners("A")
    world.announces()
    world.settle()

    assert world.progress("news").accepted == 1
    assert len(learnt) == times


def test_an_outage_is_shown_wherever_somebody_looks(world: World, rollcall: Rollcall) -> None:
    world.has_learners("A")
    world.mail.on_sender = lambda: "530 5.7.0 Authentication required"
    world.announces()
    world.settle()

    status = json.loads(rollcall("status", "--json").stdout)
    (told,) = status["mail_stopped"]
    assert (told["where"], told["code"], told["said"]) == (EVERYWHERE, 530, "5.7.0 Authentication required")
    assert "SMTP_URL" in told["what_to_do"]
    assert "5.7.0 Authentication required" in rollcall("status").stdout
    shown = json.loads(rollcall("announcements", "show", "news", "-o", "acme", "--json").stdout)
    assert shown["stopped"] == [told]
    assert "5.7.0 Authentication required" in rollcall("announcements", "show", "news", "-o", "acme").stdout
    metrics = [
        one for one in Numbers(None, in_redis(world.runtime, world.redis), []).collect() if "mail_stopped" in one.name
    ]
    assert [sample.labels["where"] for one in metrics for sample in one.samples if sample.value] == [EVERYWHERE]
    (found,) = watching._mail_stopped(world.runtime, world.redis)
    assert "5.7.0 Authentication required" in found.in_words


def test_an_outage_is_logged_once_as_it_begins_and_once_as_it_ends(world: World) -> None:
    world.has_learners("A", "B", "C")
    world.mail.on_sender = lambda: "530 5.7.0 Authentication required"
    with capture_logs() as logged:
        world.announces()
        world.settle()
        world.settle()
        world.mail.reset()
        world.comes_to_rest(60)

    lines = [line for line in logged if line["event"] in {"mail.stopped", "mail.goes_again"}]
    assert [line["event"] for line in lines] == ["mail.stopped", "mail.goes_again"]
    assert "530" in str(lines[0])
    assert "acme.example" not in str(lines[0])


@pytest.mark.parametrize("kind", ["enrolment", "password"])
def test_r18_notices_that_have_failed_are_sent_again_when_it_is_asked_for(
    world: World, rollcall: Rollcall, kind: str
) -> None:
    world.mail.on_recipient = lambda _address, _times: "550 no"
    if kind == "enrolment":
        world.has_learners("A", "B")
        world.has_course("safety", "everyone")
    else:
        world.has_learners("A", email=None)
        world.becomes("inactive", "A")
        world.becomes("active", "A")
    world.comes_to_rest()
    assert set(world.list("SELECT CAST(state AS text) FROM deliveries")) == {"failed"}
    many = world.ask("SELECT count(*) FROM deliveries")
    world.mail.reset()

    other = "digest" if kind == "enrolment" else "enrolment"
    for words, pending in ((["--kind", other], 0), (["--kind", kind], many), ([], 0)):
        done = rollcall("mail", "retry", "--since", "1h", "-o", "acme", "--json", *words)
        assert done.exit_code == 0, done.output
        retried = json.loads(done.stdout)
        jsonschema.validate(retried, json.loads((FOLDER / "commands" / "mail-retry.json").read_text()))
        assert sum(one["pending"] for one in retried) == pending
    world.comes_to_rest()

    assert len(world.mail.taken) == many
    assert set(world.list("SELECT CAST(state AS text) FROM deliveries")) == {"accepted"}
    assert world.list("SELECT DISTINCT state FROM mailings") == ["finished"]


@pytest.mark.serves
class TestCheck:
    @pytest.mark.parametrize(
        ("word", "reply", "stage", "what"),
        [
            ("greeting", b"554 go away\r\n", "connect", "our reputation"),
            ("MAIL", b"530 5.7.0 Must issue a STARTTLS command first\r\n", "MAIL", "our sign-in or encryption"),
            ("RCPT", b"550 relay not permitted\r\n", "RCPT", "our sign-in or encryption"),
        ],
    )
    def test_it_says_where_the_server_stops_us_and_why(self, word: str, reply: bytes, stage: str, what: str) -> None:
        with serving(Script(answers={word: [reply]})) as script:
            seen = check(self.server(script.port), "us@y.example", "you@x.example", timeout=5)
        assert (seen.ok, seen.stage, seen.about) == (False, stage, what)
        assert (seen.code, seen.said) == (int(reply[:3]), reply[4:].decode().strip())
        assert seen.what_to_do

    def test_it_gives_no_message(self) -> None:
        with serving(Script()) as script:
            seen = check(self.server(script.port), "us@y.example", "you@x.example", timeout=5)
            assert (seen.ok, seen.stage, seen.code, seen.about) == (True, "RCPT", 250, None)
            assert script.said("RCPT") == 1
            assert script.said("DATA") == 0

    def test_it_says_that_nobody_answers(self) -> None:
        seen = check(self.server(free_port()), "us@y.example", "you@x.example", timeout=5)
        assert (seen.ok, seen.stage, seen.about) == (False, "connect", "unreachable")
        assert "failed" in seen.said

    def test_an_address_beyond_ascii_is_named_as_mail_would_name_it(self) -> None:
        with serving(Script()) as script:
            for address in ("anna@müller.example", "zoë@x.example"):
                assert check(self.server(script.port), "us@y.example", address, timeout=5).ok
        assert [line for line in script.lines if line.startswith(("MAIL", "RCPT"))] == [
            "MAIL FROM:<us@y.example>",
            "RCPT TO:<anna@xn--mller-kva.example>",
            "MAIL FROM:<us@y.example> SMTPUTF8",
            "RCPT TO:<zoë@x.example>",
        ]

    @pytest.mark.parametrize("to", ["nobody", "a@x.example\r\nRCPT TO:<b@x.example>", "a b@x.example"])
    def test_s9_nothing_but_an_address_is_named(self, world: World, rollcall: Rollcall, to: str) -> None:
        done = rollcall("mail", "check", "--to", to)

        assert (done.exit_code, world.mail.named) == (2, 0)

    def test_the_command_says_it_and_its_exit_code(self, rollcall: Rollcall) -> None:
        done = rollcall("mail", "check", "--json")
        assert done.exit_code == 0, done.output
        jsonschema.validate(json.loads(done.stdout), json.loads((FOLDER / "commands" / "mail-check.json").read_text()))

    def server(self, port: int) -> SmtpServer:
        return SmtpServer.parse(f"smtp://127.0.0.1:{port}?tls=none")
