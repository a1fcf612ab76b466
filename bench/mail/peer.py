"""Beside what others build mailings with: BullMQ with nodemailer, Celery with smtplib, django-post_office."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import celery

from bench.mail.postfix import CACHE, Postfix, Sink, Unavailable
from bench.mail.report import Measured, Report, faster, nothing_wrong
from bench.mail.rollcall import Letter, Run, counted, rollcall, senders
from bench.mail.source import Size, described, learners_for, warm
from bench.mail.usage import usage
from bench.system import Database, System, wait_until

PROGRAMS = Path(__file__).with_name("peers")

#: Mails of a round, and of the trial that finds a peer's best setting.
MAILS = 4000
TRIAL = 1000

#: Seconds between two looks at the rows of a mailing.
_LOOK_SECONDS = 0.1

#: Seconds a peer may take for one mailing.
_PATIENCE_SECONDS = 300.0

#: The same learners, in the table a peer keeps.
_RECIPIENTS = """
    CREATE TABLE recipients (recipient int PRIMARY KEY, email text NOT NULL, first_name text NOT NULL,
                             last_name text NOT NULL, username text NOT NULL, status text NOT NULL DEFAULT 'pending',
                             sent_at timestamptz, message_id text)
"""
_FILL = """
    INSERT INTO recipients SELECT learner, email, first_name, last_name, username FROM learners
    WHERE standing = 'active' AND email IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One way of setting a peer up: processes that send, and what each does at once."""

    processes: int
    at_once: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer finds everything."""

    system: System
    database: Database
    port: int
    letter: Path
    setting: Setting

    @property
    def environment(self) -> dict[str, str]:
        """As its programs are told."""
        parts = urlsplit(self.database.url)
        where = parse_qs(parts.query)
        return {
            **os.environ,
            "BENCH_DATABASE_URL": self.database.url,
            "BENCH_DATABASE_NAME": self.database.name,
            "BENCH_DATABASE_HOST": where["host"][0],
            "BENCH_DATABASE_PORT": where["port"][0],
            "BENCH_REDIS_SOCKET": self.system.redis_url.removeprefix("unix://"),
            "BENCH_BROKER": self.system.redis_url.replace("unix://", "redis+socket://"),
            "BENCH_SMTP_PORT": str(self.port),
            "BENCH_LETTER": str(self.letter),
            "BENCH_NODE": str(CACHE / "node"),
            "BENCH_PROCESSES": str(self.setting.processes),
            "BENCH_CONNECTIONS": str(self.setting.at_once),
            "BENCH_CONCURRENCY": "50",
            "BENCH_THREADS": str(self.setting.at_once),
            "BENCH_BATCH": "1000",
        }


@dataclass(frozen=True, slots=True)
class Peer:
    """One of them: how it is installed and started, which settings are tried, and what it is told of a mailing."""

    name: str
    version: Callable[[], str]
    install: Callable[[], None]
    workers: Callable[[Setting], list[list[str]]]
    launcher: Callable[[], list[str]]
    settings: Sequence[Setting]
    described: Callable[[Setting], str]
    sent: str
    least: float


def _install_node() -> None:
    folder = CACHE / "node"
    if (folder / "node_modules" / ".package-lock.json").exists():
        return
    if shutil.which("npm") is None:
        raise Unavailable("BullMQ and nodemailer need Node.js and npm")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(PROGRAMS / "package.json", folder)
    _run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], folder)


def _install_post_office() -> None:
    folder = CACHE / "post_office"
    if (folder / "installed").exists():
        return
    _run([sys.executable, "-m", "venv", str(folder)], CACHE)
    _run(
        [str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "-r",
         str(PROGRAMS / "requirements.txt")],
        CACHE,
    )  # fmt: skip
    (folder / "installed").touch()


def _run(words: Sequence[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(words)}: {done.stderr.strip()[-500:]}")


def _node_version() -> str:
    modules = CACHE / "node" / "node_modules"
    bullmq, nodemailer = (
        json.loads((modules / name / "package.json").read_text())["version"] for name in ("bullmq", "nodemailer")
    )
    return f"BullMQ {bullmq}, nodemailer {nodemailer}"


def _post_office_version() -> str:
    (found,) = (CACHE / "post_office").glob("lib/python3*/site-packages/django_post_office-*.dist-info")
    return f"django-post_office {found.name.removesuffix('.dist-info').split('-')[1]}"


_BULLMQ = ["node", str(PROGRAMS / "bullmq.js")]
_CELERY = "bench.mail.peers.celery_smtplib"

PEERS = (
    Peer(
        "BullMQ + nodemailer",
        _node_version,
        _install_node,
        lambda setting: [[*_BULLMQ, "work"]] * setting.processes,
        lambda: [*_BULLMQ, "launch"],
        (Setting(1, 10), Setting(1, 20), Setting(2, 10)),
        lambda setting: (
            f"{setting.processes} workers of concurrency 50, jobs added in bulk, a pooled transporter of "
            f"{setting.at_once} connections kept open in each, compiled Handlebars, a status row updated for each mail"
        ),
        "SELECT count(*) FROM recipients WHERE status = 'sent'",
        5,
    ),
    Peer(
        "Celery + smtplib",
        lambda: f"Celery {celery.__version__}",
        lambda: None,
        lambda setting: [
            [sys.executable, "-m", "celery", "-A", _CELERY, "worker", "--pool=prefork",
             f"--concurrency={setting.processes}", "--loglevel=warning", "--without-gossip", "--without-mingle",
             "--without-heartbeat"]
        ],
        lambda: [sys.executable, "-m", _CELERY],
        (Setting(2, 1), Setting(4, 1)),
        lambda setting: (
            f"{setting.processes} prefork processes, a connection kept open in each, an EmailMessage in a task for "
            "each mail, results ignored, compiled Jinja, a status row updated for each mail"
        ),
        "SELECT count(*) FROM recipients WHERE status = 'sent'",
        8,
    ),
    Peer(
        "django-post_office",
        _post_office_version,
        _install_post_office,
        lambda _: [],
        lambda: [str(CACHE / "post_office/bin/python"), str(PROGRAMS / "django_letters.py")],
        (Setting(1, 5), Setting(2, 5), Setting(4, 5)),
        lambda setting: (
            f"send_many, then send_queued_mail --processes={setting.processes} with {setting.at_once} threads each, "
            "batches of 1,000, a template in the database rendered on delivery, each delivery logged"
        ),
        "SELECT count(*) FROM post_office_email WHERE status = 0",
        8,
    ),
)  # fmt: skip


def measure(system: System, postfix: Postfix, letter: Letter, size: Size, mails: int) -> Report:
    """Messages a second of each, round by round, into the same running smtp-sink."""
    for peer in PEERS:
        peer.install()
    written = system.home / "letter.json"
    written.write_text(json.dumps(asdict(letter)), encoding="utf-8")
    ours: list[Run] = []
    theirs: dict[str, list[Run]] = {peer.name: [] for peer in PEERS}
    with postfix.listening(system.home) as sink:
        best = {peer.name: _best(system, sink, peer, written) for peer in PEERS}
        for turn in range(size.rounds):
            ways: list[Peer | None] = [None, *PEERS]
            for way in ways if turn % 2 == 0 else reversed(ways):
                if way is None:
                    ours.append(_ours(system, sink, size))
                else:
                    theirs[way.name].append(_mail(system, sink, way, written, best[way.name], mails))
    rolled = Measured("Rollcall", described(size, letter), ours)
    measured = [
        Measured(peer.name, f"{peer.version()}: {peer.described(best[peer.name])}", theirs[peer.name]) for peer in PEERS
    ]
    return Report(
        "Beside what others build mailings with",
        [rolled, *measured],
        [faster(rolled, its, peer.least) for its, peer in zip(measured, PEERS, strict=True)],
        nothing_wrong([rolled]),
    )


def _ours(system: System, sink: Sink, size: Size) -> Run:
    """One mailing of ours; its processes run only for it, so that they cost the others nothing."""
    with (
        system.database("mail", learners_for(size.mails)) as database,
        rollcall(system, database, sink.port, senders(size.bulk, size.threads)) as running,
    ):
        warm(running)
        sink.recipients()
        return running.send("letter", sink.recipients)


def _best(system: System, sink: Sink, peer: Peer, letter: Path) -> Setting:
    """The setting with which a peer is fastest."""
    return max(peer.settings, key=lambda setting: _mail(system, sink, peer, letter, setting, TRIAL).rate)


def _mail(system: System, sink: Sink, peer: Peer, letter: Path, setting: Setting, mails: int) -> Run:
    """One mailing of a peer's, from asked for to the last row written."""
    with system.database("peer", learners_for(mails)) as database:
        database.execute(_RECIPIENTS)
        database.execute(_FILL)
        total = int(database.value("SELECT count(*) FROM recipients"))
        expected = {row[0] for row in database.session.execute("SELECT lower(email) FROM recipients").fetchall()}
        with _ready(peer, Place(system, database, sink.port, letter, setting)) as (pids, go):
            sink.recipients()
            before = usage(pids)
            begun = time.perf_counter()
            go()
            while int(database.value(peer.sent)) < total:
                if time.perf_counter() - begun > _PATIENCE_SECONDS:
                    raise TimeoutError(f"{peer.name} has not sent {total} mails in {_PATIENCE_SECONDS:g} s")
                time.sleep(_LOOK_SECONDS)
            seconds = time.perf_counter() - begun
            used = usage(pids).since(before)
        return Run(total, seconds, used, *counted(expected, sink.recipients()))


@contextmanager
def _ready(peer: Peer, place: Place) -> Iterator[tuple[Mapping[str, int], Callable[[], None]]]:
    """Its programs, each ready; their pids, and what begins a mailing."""
    place.system.redis.flushall()
    with ExitStack() as stack:
        pids: dict[str, int] = {}
        for number, words in enumerate(peer.workers(place.setting), 1):
            worker = stack.enter_context(_program(words, place, f"worker {number}"))
            pids[f"worker {number}"] = worker.pid
        launcher = stack.enter_context(_program(peer.launcher(), place, "launcher"))
        assert launcher.stdin is not None  # noqa: S101 - it is a pipe

        def go() -> None:
            assert launcher.stdin is not None  # noqa: S101
            launcher.stdin.write(b"go\n")
            launcher.stdin.flush()

        yield {**pids, "launcher": launcher.pid, **place.system.pids}, go


@contextmanager
def _program(words: Sequence[str], place: Place, name: str) -> Iterator[subprocess.Popen[bytes]]:
    log = place.system.home / f"peer {name}.log"
    with log.open("wb") as output:
        popen = subprocess.Popen(words, env=place.environment, stdin=subprocess.PIPE, stdout=output, stderr=output)

    def ready() -> bool:
        if popen.poll() is not None:
            raise RuntimeError(f"{' '.join(words)} ended:\n{log.read_text()[-2000:]}")
        return b"ready" in log.read_bytes().splitlines()

    try:
        wait_until(ready, f"{words[0]} to be ready")
        yield popen
    finally:
        if popen.stdin is not None:
            popen.stdin.close()
        popen.terminate()
        try:
            popen.wait(timeout=15)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()
