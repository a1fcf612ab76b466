"""Commands at a server far away: what an act prints there is, to the byte, what it prints at the server."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from config.database import transaction
from config.errors import Forbidden, Invalid, NotFound, UserError
from config.settings import load_settings
from tasks import accounts
from tasks.accounts import Role
from tasks.acts import enrolments, learners, segments, system, webhooks
from tasks.acts.acting import Nothing
from tasks.acts.paging import Begun
from tasks.enrolments import EnrolmentCounts
from tests.acts.test_permissions import SHELLS_OWN
from tests.commands.console import invoke
from tests.isolation.conftest import Rollcall, neighbours, rollcall
from tests.isolation.test_commands import commands
from tests.workers.serving import served
from tests.world import World
from workers.remote import RemoteServer, Unreachable

__all__ = ["neighbours", "rollcall"]  # fixtures

#: What asks, and changes nothing: words, and for which of them an organisation is named.
LOOKS = [
    "status",
    "work failing",
    "pools advise",
    "events quarantined",
    "events quarantined -o acme",
    "events quarantined -o nobody",
    "events decided -o acme",
    "learners show A -o acme",
    "learners show nobody -o acme",
    "explain A -o acme",
    "explain --entry 1 -o acme",
    "explain --entry 99999 -o acme",
    "webhooks list",
    "webhooks list -o acme",
    "webhooks show hook -o acme",
    "webhooks show none -o acme",
    "webhooks log hook -o acme",
    "events replay --since 1 --dry-run -o acme",
    "events replay --since 1 --dry-run",
    "announcements list -o acme",
    "announcements show sent -o acme",
    "announcements show --history sent -o acme",
    "announcements recipients sent -o acme",
    "announcements preview scheduled -o acme",
    "reports history -o acme",
    "reports summary -o acme",
    "reports training -o acme",
    "seats ledger -o acme",
    "seats show -o acme",
    "suppressions list -o acme",
    "templates list",
]

#: What changes something, each with what undoes it, if it does not refuse.
CHANGES = {
    "learners deactivate A -o acme": "learners activate A -o acme",
    "learners activate A -o acme": "learners deactivate A -o acme",
    "learners unsubscribe A -o acme": "learners resubscribe A -o acme",
    "learners resubscribe A -o acme": "learners unsubscribe A -o acme",
    "learners activate nobody -o acme": "",
    "webhooks disable hook -o acme": "webhooks enable hook -o acme",
    "webhooks enable hook --skip -o acme": "",
    "webhooks add https://example.org/ --id hook -o acme": "",
    "webhooks add http://example.org/ -o acme": "",
    "webhooks add https://example.org/ --type nothing -o acme": "",
    "webhooks remove none -o acme": "",
    "events discard none --why x -o acme": "",
    "events release none -o acme": "",
    "events release none": "",
    "announcements cancel none -o acme": "",
    "announcements pause draft -o acme": "",
    "seats reviewed 999 --why x -o acme": "",
    "suppressions add new@acme.example --why x -o acme": "suppressions remove new@acme.example -o acme",
    "suppressions remove none@acme.example -o acme": "",
    "work retry 999": "",
    "work discard 999": "",
    "pools pause bulk --why x": "pools resume bulk",
    "work pause mail.deliver --why x": "work resume mail.deliver",
    "work resume mail.deliver": "work pause mail.deliver --why x",
    "pools resume bulk": "pools pause bulk --why x",
}

#: What differs between two looks: how long something waits; and between two places: where the pages are.
DIFFERENT = re.compile(r"[0-9.]+ s\b|–|http://[^/]+")


def token_of(world: World, role: Role = Role.OPERATOR, *organisations: str) -> str:
    """A token that holds."""
    token = accounts.new_token()
    with transaction(world.runtime.engine) as connection:
        accounts.add_token(
            connection, f"{role}-{len(organisations)}", token, role, organisations, expires_at=None, made_by="test"
        )
    return token


@pytest.fixture
def far(world: World, rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """The console script, with nothing but a URL and a token."""
    with served(world.runtime) as found:
        token = token_of(world)

        def run(*words: str) -> Result:
            with monkeypatch.context() as patched:
                for name in ("DATABASE_URL", "REDIS_URL", "SMTP_URL"):
                    patched.setenv(name, "")
                patched.setenv("ROLLCALL_URL", found.endpoints.public_url)
                patched.setenv("ROLLCALL_TOKEN", token)
                load_settings.cache_clear()
                try:
                    return invoke(*words)
                finally:
                    load_settings.cache_clear()

        yield run


def told(result: Result) -> tuple[Any, ...]:
    """What somebody sees."""
    said = "" if isinstance(result.exception, SystemExit | None) else str(result.exception)
    return result.exit_code, DIFFERENT.sub("", result.stdout), result.stderr, said


def test_r34_a_command_prints_the_same_far_away(
    neighbours: World, far: Callable[..., Result], rollcall: Rollcall
) -> None:
    different = {}
    asked = [(words, "") for words in (*LOOKS, *(f"{one} --json" for one in LOOKS if one != "status"))]
    for words, undo in [*asked, *CHANGES.items()]:
        here = told(rollcall(*words.split()))
        if undo:
            assert rollcall(*undo.split()).exit_code == 0
        there = told(far(*words.split()))
        if here != there:
            different[words] = (here, there)

    assert different == {}, different


@pytest.mark.usefixtures("neighbours")
def test_r35_all_that_is_kept_of_a_learner_is_written_far_away_as_well(
    far: Callable[..., Result], rollcall: Rollcall
) -> None:
    here, there = (json.loads(run("learners", "export", "A", "-o", "acme").stdout) for run in (rollcall, far))
    made_here, made_there = here["kept"].pop("audit"), there["kept"].pop("audit")

    assert here == there
    assert made_there[:-1] == made_here, "that it was written is written down, too"


@pytest.mark.usefixtures("neighbours")
def test_what_is_taken_away_far_away_is_told_apart_from_what_is_not_said(far: Callable[..., Result]) -> None:
    def shown(*words: str) -> str:
        changed = far("announcements", "edit", "unsent", *words, "-o", "acme")
        assert changed.exit_code == 0, changed.exception
        return far("announcements", "show", "unsent", "-o", "acme").stdout

    assert "to be sent at 2099-01-01 09:00" in shown("--send-at", "2099-01-01T09:00", "--learner", "A")
    assert "to be sent at 2099-01-01 09:00" in shown("--subject", "Another", "--everyone")
    assert "to be sent at" not in shown("--no-send-at")


def test_an_import_far_away_is_done_by_a_worker_and_says_the_same(
    far: Callable[..., Result], world: World, tmp_path: Path
) -> None:
    file = tmp_path / "people.csv"
    file.write_text("id,username,email,status\nN1,n1,n1@acme.example,active\n,n2,n2@acme.example,active\n")
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.05):
            world.settle()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        result = far("learners", "import", str(file), "-o", "acme")
    finally:
        done.set()
        worker.join()

    assert result.exit_code == 1
    assert "2 lines read: 1 taken, 1 refused." in result.stdout
    assert str(result.exception) == f"1 line was refused: {file.with_suffix('.refused.csv')} says which and why."
    assert ",n2,n2@acme.example" in file.with_suffix(".refused.csv").read_text()


def test_a_list_too_long_for_one_request_is_asked_for_in_parts_and_all_or_nothing_happens(
    far: Callable[..., Result], rollcall: Rollcall, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.remote.LONGEST_LIST", 60)
    ids = [f"learner-{n}" for n in range(20)]
    world.has_learners(*ids)
    file = tmp_path / "ids"
    file.write_text("\n".join([*ids, "nobody"]))
    words = ("learners", "deactivate", "--file", str(file), "-o", "acme")
    refused, refused_here = told(far(*words)), told(rollcall(*words))
    inactive = world.ask("SELECT count(*) FROM learners WHERE standing = 'inactive'")
    file.write_text("\n".join(ids))
    done, again = told(far(*words, "--json")), told(far(*words, "--json"))
    undone, here = rollcall("learners", "activate", *ids, "-o", "acme"), told(rollcall(*words, "--json"))
    subscribed = told(far("learners", "unsubscribe", *ids, "-o", "acme"))

    assert (refused, inactive) == (refused_here, 0)
    assert undone.exit_code == 0
    assert done == here
    assert again == (0, done[1].replace('"changed":true', '"changed":false'), done[2], done[3])
    assert again != done
    assert subscribed == told(rollcall("learners", "unsubscribe", *ids, "-o", "acme"))


@pytest.fixture
def server(world: World) -> Iterator[RemoteServer]:
    """The same, as a program has it."""
    with served(world.runtime) as found:
        remote = RemoteServer(found.endpoints.public_url, token_of(world))
        yield remote
        remote.close()


def test_enrolments_and_segments_take_lists_of_any_length_in_parts(
    server: RemoteServer, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.remote.LONGEST_LIST", 60)
    ids = [f"learner-{n}" for n in range(20)]
    world.has_learners(*ids)
    world.has_course("safety")
    world.has_segment("s", *ids[:5])
    named, known = segments.MembersNamed("s", [*ids, "nobody"]), segments.MembersNamed("s", ids)
    withdrawn = enrolments.WithdrawalAsked("safety", ids)

    refused: list[tuple[Any, Any]] = [
        (segments.join, named),
        (enrolments.withdraw, replace(withdrawn, learners=[*ids, "nobody"])),
    ]
    for act, asked in refused:
        with pytest.raises(NotFound, match="Nothing was changed: 'acme' has no learner 'nobody'"):
            server(act, asked, "acme")
    joined, left = server(segments.join, known, "acme"), server(segments.leave, known, "acme")
    counts = server(enrolments.request, enrolments.EnrolmentsAsked("safety", [*ids, "nobody"], "all"), "acme")
    gone = server(enrolments.withdraw, withdrawn, "acme")

    assert (joined, left) == (segments.Members("s", ids, 15), segments.Members("s", ids, 20))
    assert isinstance(counts, EnrolmentCounts)
    assert (counts.selected, counts.enrolled, counts.not_eligible) == (21, 20, {"unknown": 1})
    assert gone == enrolments.WithdrawnLearners("safety", ids, None)
    assert world.ask("SELECT count(*) FROM enrolments WHERE withdrawn_at IS NULL") == 0


@pytest.mark.serves
def test_of_parts_that_are_under_way_the_last_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.remote.LONGEST_LIST", 6)
    running = problem(
        "202 Accepted", '{"state":"running","done":0,"total":1}', "Location: /organisations/acme/enrolments/7"
    )
    done = problem("200 OK", '{"segment":"s","learners":["B"],"changed":1}')
    named = segments.MembersNamed("s", ["A", "B"])

    found, asked = answered(done, done, running, done, do=lambda server: server(segments.join, named, "acme"))

    assert isinstance(found, Begun)
    assert (found.location, len(asked)) == ("enrolments/7", 4)


def test_decisions_on_many_events_are_asked_for_in_parts(
    far: Callable[..., Result], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.remote.ONE_BY_ONE", 3)
    held = [f"held-{n}" for n in range(8)]
    for id_ in held:
        world.say("course.started", id_=id_, learner="nobody", course="none", cycle=1)

    done = far("events", "discard", *held, "--why", "a test", "-o", "acme")
    again = far("events", "discard", *held, "--why", "a test", "-o", "acme")

    assert done.stdout == "".join(f"{id_} is discarded.\n" for id_ in held)
    assert again.exit_code == 1
    assert world.ask("SELECT count(*) FROM inbox WHERE state = 'discarded'") == len(held)


def test_what_is_the_servers_own_is_refused(far: Callable[..., Result]) -> None:
    for words in ("migrate", "events publish -", "reconcile", "restored", "verify", "wait"):
        result = far(*words.split())
        assert (result.exit_code, "the server's own" in str(result.exception)) == (1, True), words
    assert "--by cannot be given" in str(far("pools", "resume", "bulk", "--by", "ann").exception)


@dataclass
class Scripted:
    """A server that answers as it is told, one answer to each request, and keeps what was asked."""

    answers: list[bytes]
    asked: list[bytes] = field(default_factory=list)

    def serve(self, listening: socket.socket) -> None:
        for answer in self.answers:
            connection, _ = listening.accept()
            with connection:
                self.asked.append(connection.recv(65536))
                connection.sendall(answer)


def answered(*answers: bytes, do: Callable[[RemoteServer], Any]) -> tuple[Any, list[bytes]]:
    """What comes of an act where a server answers so; an error is what comes of it, too."""
    script = Scripted(list(answers))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=script.serve, args=(listening,), daemon=True)
        thread.start()
        server = RemoteServer(f"http://127.0.0.1:{listening.getsockname()[1]}", "rck_x")
        try:
            found: Any = do(server)
        except UserError as problem:
            found = problem
        finally:
            server.close()
        thread.join(5)
    return found, script.asked


def problem(status: str, body: str, *headers: str) -> bytes:
    """A refusal as it is sent."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", body]
    return "\r\n".join(lines).encode()


@pytest.mark.serves
@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (
            problem("401 Unauthorized", '{"detail":"Show a token."}'),
            Unreachable,
            "Show a token. Look at ROLLCALL_TOKEN.",
        ),
        (problem("403 Forbidden", '{"detail":"You may not."}'), Forbidden, "You may not."),
        (problem("404 Not Found", '{"detail":"Gone."}'), NotFound, "Gone."),
        (
            problem("422 X", '{"detail":"No.","errors":[{"pointer":"/url","detail":"bad"}]}'),
            Invalid,
            "No.",
        ),
        (problem("503 X", '{"detail":"Away."}', "Retry-After: 100"), UserError, "Away."),
        (problem("502 Bad Gateway", "<html>"), Unreachable, "502 Bad Gateway"),
        (problem("301 Moved", "", "Location: https://elsewhere.example/"), Unreachable, "look at ROLLCALL_URL"),
        (problem("200 OK", "[]"), Unreachable, "cannot be read"),
        (problem("200 OK", "{}  ")[:-1], Unreachable, "broke off its answer"),
        (problem("404 Not Found", '{"detail":"Gone."}')[:-1], Unreachable, "broke off its answer"),
        (problem("503 X", '{"detail":"Away."}', "Retry-After: 1")[:-1], Unreachable, "broke off its answer"),
        (b"nonsense\r\n\r\n", Unreachable, "cannot be reached"),
        (b"", Unreachable, "cannot be reached"),
    ],
)
def test_each_failure_is_one_clear_line(answer: bytes, kind: type[UserError], says: str) -> None:
    found, asked = answered(answer, do=lambda server: server(system.show, Nothing()))

    assert type(found) is kind
    assert says in str(found)
    assert "\n" not in str(found)
    assert b"GET /api/v1/system HTTP/1.1" in asked[0]


@pytest.mark.serves
def test_who_is_asked_for_patience_waits_and_asks_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("workers.remote.time.sleep", waited.append)
    busy = problem("429 Too Many Requests", '{"detail":"Later."}', "Retry-After: 7")
    fine = problem("200 OK", '{"id":"h/1","state":"disabled"}')

    found, asked = answered(busy, fine, do=lambda server: server(webhooks.disable, webhooks.OneWebhook("h/1"), "ac me"))

    assert (found, waited) == (webhooks.Changed("h/1", "disabled"), [7])
    keys = [line for one in asked for line in one.split(b"\r\n") if line.startswith(b"Idempotency-Key")]
    assert (len(keys), len(set(keys))) == (2, 1)
    assert all(one.startswith(b"POST /api/v1/organisations/ac%20me/webhooks/h%2F1/disable HTTP/1.1") for one in asked)


@pytest.mark.serves
def test_a_connection_that_the_server_did_not_keep_is_made_again_and_a_part_asked_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.remote.LONGEST_LIST", 6)
    said = '[{"learner":"A","status":"active","changed":true}]'
    fine = problem("200 OK", said).replace(b"Connection: close\r\n", b"")
    asked_for = learners.LearnersStatus(["A", "B"], "active")

    found, asked = answered(fine, fine, fine, fine, do=lambda server: server(learners.set_status, asked_for, "acme"))
    broken, _ = answered(fine, fine, fine, b"?\r\n", do=lambda server: server(learners.set_status, asked_for, "acme"))

    assert [one.learner for one in found] == ["A", "A"]
    assert len(asked) == 4
    assert len({line for one in asked for line in one.split(b"\r\n") if line.startswith(b"Idempotency-Key")}) == 4
    assert type(broken) is Unreachable
    assert str(broken).endswith("The first 1 are done: do the same again.")


def test_a_token_is_not_sent_for_everybody_to_read() -> None:
    for url in ("http://lms.example", "ftp://lms.example", "https://", "https://u:p@lms.example"):
        with pytest.raises(UserError, match="ROLLCALL_URL"):
            RemoteServer(url, "rck_x")
    with pytest.raises(UserError, match="ROLLCALL_TOKEN"):
        RemoteServer("https://lms.example", "rck_x\r\nHost: y")


def test_a_reader_looks_and_changes_nothing(world: World) -> None:
    world.has_learners("A")
    world.send(world.event("organisation.saved", {"name": "B", "licence": "seats", "pool": 1}, organisation="borealis"))
    with served(world.runtime) as found:
        server = RemoteServer(found.endpoints.public_url, token_of(world, Role.READER, "acme"))
        shown = server(learners.show, learners.OneLearner("A"), "acme")
        assert shown.learner == "A"
        with pytest.raises(Forbidden):
            server(learners.activate, learners.LearnerToggle("A"), "acme")
        with pytest.raises(NotFound):
            server(learners.show, learners.OneLearner("A"), "borealis")
        with pytest.raises(Forbidden):
            server(system.show, Nothing())
        server.close()


#: Tried far away by the tests of what they are about.
ELSEWHERE = {"learners export", "learners import", "templates render", "webhooks rotate", "webhooks test"}

#: Groups of commands that are tried where they are made.
GROUPS = {"accounts", "announcements", "audit", "courses", "mail", "reports", "seats", "suppressions", "tokens"}


def test_every_command_is_tried_far_away_or_is_the_servers_own() -> None:
    asked = [*LOOKS, *CHANGES]
    tried = {name for name in commands() if any(words == name or words.startswith(f"{name} ") for words in asked)}
    left = {name for name in commands().keys() - tried - SHELLS_OWN.keys() - ELSEWHERE if name.split()[0] not in GROUPS}

    assert left == set()
