"""`rollcall up` from an empty home to the end, with the first steps of a platform; what it says where it cannot run."""

import json
import os
import re
import signal
import smtplib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from config import services
from config.settings import Settings
from tests.bounces import reports
from tests.commands.console import invoke_over
from tests.first_steps import Reader
from tests.workers.deployment import alive, until
from workers.commands.system import _free_port
from workers.supervisor import USUAL

pytestmark = pytest.mark.serves

#: Seconds within which SIGTERM ends everything; platforms kill after 30.
DRAIN = 25.0

#: The sample, with one learner in ten: 200 take the same ways as 2,000.
SAMPLE = [
    line
    for number, line in enumerate(Path("samples/demo.jsonl").read_text(encoding="utf-8").splitlines())
    if number % 10 == 0 or '"platform.learner.saved"' not in line
]
EVENTS = [json.loads(line) for line in SAMPLE]


class Machine:
    """A machine on which nothing of Rollcall has run, and where the environment names no server."""

    def __init__(self, home: Path) -> None:
        self.home, self.patience = home, 60.0
        ours = re.compile("ROLLCALL_.*|(DATABASE|REDIS|SMTP|PUBLIC)_URL|MAIL_FROM|SECRET_KEY")
        self.env = {name: value for name, value in os.environ.items() if not ours.fullmatch(name)}
        self.env |= {"ROLLCALL_HOME": str(home), "ROLLCALL_DURABLE": "false"}

    def command(self, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "workers.cli", *words],
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=self.patience,
            check=False,
        )

    def asks(self, *words: str) -> Any:
        """What a command prints with --json, in this process: one document and nothing else."""
        done = invoke_over(self.env, *words, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    @property
    def services(self) -> dict[str, Any]:
        """`services.json`."""
        found: dict[str, Any] = json.loads((self.home / "services.json").read_text())
        return found

    @property
    def running(self) -> dict[str, int]:
        """The pids in `services.json`, where it is there."""
        try:
            return dict(self.services["pids"])
        except FileNotFoundError:
            return {}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine on which nothing stays, whatever went wrong."""
    yield Machine(tmp_path / ".rollcall" / "first-steps")
    for process in _of(tmp_path):
        process.kill()


def _of(folder: Path) -> list[psutil.Process]:
    """What runs on files in a folder."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "environ"])
        if alive(process.pid)
        and (
            str(folder) in " ".join(process.info["cmdline"] or [])
            or str(folder) in (process.info["environ"] or {}).get("ROLLCALL_HOME", "")
        )
    ]


def lets_in_once(log: Path) -> None:
    """The link in what `up` says lets the person at this machine in."""
    until(lambda: "sign in at this machine" in log.read_text(), "a link for the person at this machine")
    link = re.search(r"within half an hour: (http://\S+)", log.read_text())
    assert link is not None
    with urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(link[1]) as page:
        assert "with the role operator of all organisations" in page.read().decode()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(link[1])  # noqa: S310 - it is good once


#: What `rollcall up` tells of where it is.
URLS = {"DATABASE_URL", "REDIS_URL", "SMTP_URL", "PUBLIC_URL", "BOUNCES_URL", "METRICS_URL"}


def test_up_runs_everything_as_the_first_steps_say_restarts_what_dies_and_leaves_nothing(
    machine: Machine, tmp_path: Path
) -> None:
    reader, log = Reader(tmp_path, machine.env), tmp_path / "log"
    up = reader.start(log)
    ready = f"ready: {7 + USUAL['bulk']} processes, pages at http://127.0.0.1:"
    until(lambda: ready in log.read_text(), "the ready line", 120)  # a cluster is made, and ten processes start
    services = machine.services
    senders = {f"bulk.{n}" for n in range(1, USUAL["bulk"] + 1)}
    roles = {"ingress.1", "relay.1", "tasks.1", "mail.1", "bounces.1", "web.1", "webhooks.1"} | senders
    assert set(services["pids"]) == roles | {"rollcall", "postgresql", "valkey", "mailbox"}
    rollcall = psutil.Process(services["pids"]["rollcall"])
    assert up.pid in {rollcall.pid, rollcall.ppid()}
    assert set(services) == URLS | {"pids"}
    assert re.fullmatch(r"lmtp://127\.0\.0\.1:\d+", services["BOUNCES_URL"])

    lets_in_once(log)

    reader.follow()

    (tmp_path / "sample.jsonl").write_text("\n".join(SAMPLE), encoding="utf-8")
    assert machine.asks("events", "publish", str(tmp_path / "sample.jsonl")) == {"published": len(SAMPLE)}
    assert machine.asks("wait", "--timeout", "60") == {"at_rest": True, "left": {}}

    status = machine.asks("status")
    assert roles < set(status["processes"])
    assert (status["unread"], status["unpublished"], status["mailings_sending"]) == (0, 0, 0)
    shown = machine.asks("announcements", "show", "welcome", "-o", "aurora")
    assert shown["state"] == "finished"
    assert shown["selected"] > 150
    assert shown["selected"] == shown["accepted"] + sum(shown["skipped"].values())
    assert len(list((machine.home / "Maildir" / "new").iterdir())) > shown["accepted"], "the notices, too"
    seats = machine.asks("seats", "show", "-o", "aurora")
    assert json.dumps(seats).count("credit") >= 1
    somebody = next(event["data"]["learner"] for event in EVENTS if event["type"] == "platform.learner.saved")
    assert machine.asks("learners", "show", somebody, "-o", "aurora")["learner"] == somebody
    assert {entry["state"] for entry in machine.asks("events", "quarantined")} <= {"waiting", "quarantined"}

    _pages_answer(services["PUBLIC_URL"], services["METRICS_URL"])
    _one_click(machine, services["PUBLIC_URL"])
    _reports_are_taken(machine, services["BOUNCES_URL"])

    _a_second_is_refused(machine)
    killed = services["pids"]["tasks.1"]
    os.kill(killed, signal.SIGKILL)
    until(lambda: machine.services["pids"].get("tasks.1", killed) != killed, "a new tasks.1")
    servers = {name: services["pids"][name] for name in ("postgresql", "valkey", "mailbox")}
    for pid in servers.values():
        os.kill(pid, signal.SIGKILL)
    until(lambda: all(machine.services["pids"][name] != pid for name, pid in servers.items()), "new servers")
    assert {**machine.services, "pids": {}} == {**services, "pids": {}}, "where they were"
    _pages_answer(services["PUBLIC_URL"], services["METRICS_URL"])

    pids = machine.services["pids"]
    began = time.monotonic()
    rollcall.terminate()
    assert up.wait(DRAIN) == 0, log.read_text()[-2000:]
    assert time.monotonic() - began < DRAIN
    assert not [name for name, pid in pids.items() if alive(pid)]
    assert (_of(machine.home), (machine.home / "services.json").exists()) == ([], False)
    assert "Traceback" not in log.read_text()


def _a_second_is_refused(machine: Machine) -> None:
    services = machine.services
    second = machine.command("up")
    assert (second.returncode, second.stdout) == (1, "")
    assert f"already, as process {services['pids']['rollcall']}: end that one first" in second.stderr
    assert machine.services == services, "it still says what the first one runs"


def _one_click(machine: Machine, url: str) -> None:
    """The link in a mail, as it lies in the Maildir, unsubscribes whom the mail was for."""
    mails = (message_from_bytes(path.read_bytes()) for path in (machine.home / "Maildir" / "new").iterdir())
    mail = next(mail for mail in mails if "List-Unsubscribe" in mail)
    link = mail["List-Unsubscribe"].strip("<>")
    assert link.startswith(f"{url}/unsubscribe/")
    with urllib.request.urlopen(link, b"List-Unsubscribe=One-Click", timeout=5) as page:  # noqa: S310 - our own
        assert page.status == 200
    addresses = {event["data"]["email"]: event["data"]["learner"] for event in EVENTS if event["data"].get("email")}
    learner = next(id_ for address, id_ in addresses.items() if address in mail["To"])
    assert machine.asks("learners", "show", learner, "-o", "aurora")["unsubscribed_at"]


def _reports_are_taken(machine: Machine, url: str) -> None:
    """What comes back for a mail, to the envelope sender with which it left, suppresses its address."""
    mails = (message_from_bytes(path.read_bytes()) for path in (machine.home / "Maildir" / "new").iterdir())
    envelope = next(mail for mail in mails if ":aurora:" in mail["Feedback-ID"])
    sender, recipient = envelope["Return-Path"].strip("<>"), envelope["Delivered-To"]
    assert re.fullmatch(r"bounces\+[0-9a-v]+@localhost", sender)
    found = urlsplit(url)
    with smtplib.LMTP(found.hostname or "", found.port or 0) as client:
        client.sendmail("", [sender], reports.postfix(sender, recipient).message)

    assert machine.asks("suppressions", "list", "-o", "aurora")["address"] == recipient.lower()


def _pages_answer(url: str, metrics_url: str) -> None:
    """/healthz says that all is well, /metrics gives the numbers, at an address of its own."""
    last = b""

    def healthy() -> bool:
        nonlocal last
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=5) as page:  # noqa: S310 - our own
                last = page.read()
        except OSError:
            return False
        return bool(json.loads(last) == {"database": True, "redis": True})

    until(healthy, "a healthy /healthz")
    with urllib.request.urlopen(metrics_url, timeout=5) as page:  # noqa: S310 - our own
        text = page.read().decode()
    assert page.headers["Content-Type"].startswith("text/plain")
    assert re.search(r"^rollcall_events_unread 0\.0$", text, re.MULTILINE)
    assert re.search(r"^rollcall_mailings_sending 0\.0$", text, re.MULTILINE)


SECRET = "s3cret"


@pytest.mark.parametrize(
    ("env", "says"),
    [
        (
            {"DATABASE_URL": f"postgresql://u:{SECRET}@127.0.0.1:1/x", "ROLLCALL_EMBEDDED": "redis,smtp"},
            "The database cannot be used: nothing listens there.",
        ),
        ({"DATABASE_URL": f"postgresql://u:{SECRET}/word@127.0.0.1/x"}, "DATABASE_URL: has no port"),
        (
            {"REDIS_URL": f"redis://:{SECRET}@127.0.0.1:1/0", "ROLLCALL_EMBEDDED": "database,smtp"},
            "Redis cannot be used: nothing listens there. Look at REDIS_URL",
        ),
        ({"SMTP_URL": f"smtp://u:{SECRET}@127.0.0.1:25?tls=none"}, "MAIL_FROM must be set when SMTP_URL is set"),
    ],
)
def test_up_refuses_what_cannot_work_in_one_line_without_a_secret(
    machine: Machine, env: dict[str, str], says: str
) -> None:
    done = machine.command("up", **env)

    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert SECRET not in done.stderr + done.stdout
    assert _of(machine.home) == []


@pytest.fixture
def own_servers(machine: Machine, database_url: str, redis_url: str) -> Machine:
    """A machine that names its servers, and runs nothing there that takes long to start."""
    machine.env |= {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SMTP_URL": "smtp://127.0.0.1:9?tls=none"}
    machine.env |= {"MAIL_FROM": "a@example.org", "PUBLIC_URL": "https://example.org", "SECRET_KEY": "only for tests"}
    return machine


def _up(
    machine: Machine, procfile: str, log: Path, output: Path | None = None, words: tuple[str, ...] = ()
) -> "subprocess.Popen[bytes]":
    """`rollcall up` with this Procfile and more words; what it says is in the log, unless it goes elsewhere."""
    file = log.with_name("Procfile")
    file.write_text(procfile)
    with (output or log).open("wb") as out, log.open("ab") as errors:
        command = [sys.executable, "-m", "workers.cli", "up", "--procfile", str(file), *words]
        return subprocess.Popen(command, env=machine.env, stdout=out, stderr=errors)


def _children(up: "subprocess.Popen[bytes]", word: str) -> list[int]:
    """The living children that have this word in their command."""
    found = []
    for child in psutil.Process(up.pid).children():
        with suppress(psutil.NoSuchProcess):  # or a zombie, which is one of them
            if word in child.cmdline():
                found.append(child.pid)
    return found


def test_up_outlives_a_home_that_cannot_be_written_and_an_output_that_is_full(
    own_servers: Machine, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    up = _up(
        own_servers, f"sleeper: {sys.executable} -c 'import signal; signal.pause()' sleeper", log, Path("/dev/full")
    )
    try:
        until(lambda: "sleeper.1" in own_servers.running, "the first sleeper")
        (killed,) = _children(up, "sleeper")
        own_servers.home.rename(tmp_path / "elsewhere")
        own_servers.home.write_text("where the home was")
        os.kill(killed, signal.SIGKILL)
        until(lambda: {killed} != {*_children(up, "sleeper")} != set(), "another sleeper")
    finally:
        up.terminate()
    assert up.wait(DRAIN) == 0
    assert log.read_text() == ""


def test_up_is_ready_once_each_process_is(own_servers: Machine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        own_servers.env["ROLLCALL_WEB_PORT"] = str(taken.getsockname()[1])
        up = _up(own_servers, "web: rollcall run web", log)
        try:
            until(lambda: "web.1 ended with exit code 1" in log.read_text(), "an end for want of the port")
            assert "ready: " not in log.read_text()
            taken.close()
            until(lambda: "ready: 1 process," in log.read_text(), "pages that are served")
        finally:
            up.terminate()
    assert up.wait(DRAIN) == 0


def test_up_runs_as_many_web_processes_at_one_port_as_it_is_told_to(own_servers: Machine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    up = _up(own_servers, "web: rollcall run web", log, words=("--scale", "web=2"))
    try:
        until(lambda: "ready: 2 processes," in log.read_text(), "pages that are served by both")
        ports = [
            {one.laddr.port for one in psutil.Process(pid).net_connections("tcp") if one.status == psutil.CONN_LISTEN}
            for pid in _children(up, "web")
        ]
    finally:
        up.terminate()
    assert up.wait(DRAIN) == 0
    assert "ended with" not in log.read_text()
    assert len(ports) == 2
    assert ports[0] == ports[1]
    assert len(ports[0]) == 2, "that of the pages, and that of the metrics"


def test_up_refuses_to_scale_what_the_procfile_does_not_have(machine: Machine) -> None:
    done = machine.command("up", "--scale", "nope=2")

    assert done.returncode == 2
    said = re.sub(r"[\s│]+", " ", done.stderr)  # where a line ends is up to how long the path of the Procfile is
    assert "no process called nope" in said
    assert "Traceback" not in done.stderr
    assert not machine.home.exists()


@pytest.mark.parametrize("scale", ["web", "web=", "web=two", "web=-1", "web=²"])
def test_up_refuses_a_scale_that_is_no_number(machine: Machine, scale: str) -> None:
    done = machine.command("up", "--scale", scale)

    assert done.returncode == 2
    assert "it reads NAME=N" in re.sub(r"[\s│]+", " ", done.stderr)


def test_links_made_up_once_lead_to_the_pages_the_next_time_too(tmp_path: Path) -> None:
    kept = tmp_path / "identity.json"
    kept.write_text(json.dumps({"mail_from": "a@b", "public_url": "", "secret_key": "k"}))
    unset = Settings(rollcall_home=tmp_path)
    before = _free_port(unset, "")
    services.keep_public_url(tmp_path, f"http://127.0.0.1:{before}")

    made_up = json.loads(kept.read_text())

    assert made_up == {"mail_from": "a@b", "public_url": f"http://127.0.0.1:{before}", "secret_key": "k"}
    assert _free_port(unset, made_up["public_url"]) == before
    with socket.create_server(("127.0.0.1", before)):
        assert _free_port(unset, made_up["public_url"]) != before
    assert _free_port(Settings(public_url=f"http://localhost:{before}"), f"http://localhost:{before}") == before
    assert _free_port(Settings(public_url=f"https://x.org:{before}"), f"https://x.org:{before}") != before
