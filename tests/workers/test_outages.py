"""Servers that cannot be used: why is said, without a secret; once when it begins and once when it ends."""

import fcntl
import json
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from psycopg import sql
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from config.embedded import Embedded
from config.engine import make_engine
from config.outages import why
from config.streams import GROUP, IN, make_redis
from tasks.system import system_state
from tests.conftest import WORKER
from tests.mail.test_tls import certificate, context
from tests.mailserver import free_port
from tests.workers.deployment import Deployment, Valkey, until
from tests.workers.serving import served
from tests.workers.test_patience import Wire
from tests.world import World
from workers.ingress import ensure_group
from workers.relay.retention import KeepPartitions
from workers.web import app

SECRET = "s3cr3t-word"

__all__ = ["certificate", "context"]


@pytest.fixture
def administer(servers: Embedded) -> Callable[..., None]:
    """Runs a statement, in which each {} is a name, as a superuser of the server."""

    def run(statement: str, *names: str) -> None:
        assert servers.database_url is not None
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    return run


@contextmanager
def database_away(url: str, administer: Callable[..., None]) -> Iterator[None]:
    """A database that lets nobody in, and has thrown out whoever was."""
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    assert isinstance(name, str)
    administer("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
    administer(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    try:
        yield
    finally:
        administer("ALTER DATABASE {} ALLOW_CONNECTIONS true", name)


def why_postgresql(url: str) -> str:
    """Why this PostgreSQL cannot be used."""
    engine = make_engine(url, role="test")
    try:
        with pytest.raises(OperationalError) as raised:
            engine.connect()
    finally:
        engine.dispose()
    return why(raised.value)


def why_redis(url: str, ask: Callable[[redis.Redis], Any] = lambda client: client.ping()) -> str:
    """Why this Redis cannot be used."""
    with make_redis(url) as client, pytest.raises(redis.RedisError) as raised:
        ask(client)
    return why(raised.value, url)


def as_user(url: str, user: str, password: str = SECRET) -> str:
    return url.replace("//postgres@", f"//{user}:{password}@")


def test_why_postgresql_cannot_be_used(database_url: str, servers: Embedded, administer: Callable[..., None]) -> None:
    user, name = f"stranger-{WORKER}", database_url.partition("?")[0].rpartition("/")[2]
    administer("CREATE ROLE {} LOGIN PASSWORD 'another'", user)
    assert servers.database_url is not None
    try:
        with ask_for_passwords(servers, user):
            assert why_postgresql(as_user(database_url, user)) == "the user name or the password is wrong"
            without = database_url.replace("//postgres@", f"//{user}@")
            assert why_postgresql(without) == "a password is needed, and the URL has none"
        assert why_postgresql(as_user(database_url, "nobody")) == "there is no such user"
        assert why_postgresql(database_url.replace(name, "nowhere")) == "there is no such database"
        administer("ALTER ROLE {} CONNECTION LIMIT 0", user)
        assert why_postgresql(as_user(database_url, user)) == "it has too many connections"
        administer("REVOKE CONNECT ON DATABASE {} FROM public", name)
        administer("ALTER ROLE {} CONNECTION LIMIT 9", user)
        assert why_postgresql(as_user(database_url, user)) == "the user may not connect to this database"
        with database_away(database_url, administer):
            assert why_postgresql(database_url) == "this database takes no connections"
    finally:
        administer("DROP ROLE {}", user)


@contextmanager
def ask_for_passwords(servers: Embedded, user: str) -> Iterator[None]:
    """A server that asks this user alone for a password."""
    assert servers.database_url is not None
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        row = connection.execute("SELECT current_setting('hba_file')").fetchone()
        assert row is not None
        rules = Path(str(row[0]))
        line = f'local all "{user}" scram-sha-256\n'
        with rules.with_name("rules.lock").open("a") as lock:  # the processes of a run share the server
            fcntl.flock(lock, fcntl.LOCK_EX)
            rules.write_text(line + rules.read_text())
            connection.execute("SELECT pg_reload_conf()")
        known = "SELECT EXISTS (SELECT FROM pg_hba_file_rules WHERE user_name = ARRAY[%s])"
        until(lambda: connection.execute(known, (user,)).fetchone() == (True,), "the rule")
        until(lambda: _is_asked(servers, user), "the rule in force")
        yield
        with rules.with_name("rules.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            rules.write_text(rules.read_text().replace(line, ""))
            connection.execute("SELECT pg_reload_conf()")
        until(lambda: not _is_asked(servers, user), "the rule gone")


def _is_asked(servers: Embedded, user: str) -> bool:
    assert servers.database_url is not None
    with suppress(psycopg.OperationalError), psycopg.connect(as_user(servers.database_url, user)):
        return False
    return True


@pytest.mark.serves
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"postgresql://u:{SECRET}@127.0.0.1:{{port}}/x", "nothing listens there"),
        (f"postgresql://u:{SECRET}@nowhere.invalid/x", "the name of its host is not known"),
        (f"postgresql://u:pass@{SECRET}@127.0.0.1/x", "the name of its host is not known"),
        ("postgresql://u@/x?host=/nowhere", "there is no such socket"),
    ],
)
def test_why_there_is_no_way_to_postgresql(url: str, reason: str) -> None:
    assert why_postgresql(url.format(port=free_port())) == reason


@pytest.mark.serves
def test_why_redis_cannot_be_used(valkey: Valkey) -> None:
    assert why_redis(f"{valkey.url}?db=4711") == "there is no such database"
    with make_redis(valkey.url) as client:
        client.execute_command("ACL", "SETUSER", "poor", "on", f">{SECRET}", "+ping")
        poor = valkey.url.replace("unix://", f"unix://poor:{SECRET}@")
        assert why_redis(poor, lambda it: it.get("x")) == "the user may not do this"
        assert why_redis(poor.replace(SECRET, f"{SECRET}x")) == "the user name or the password is wrong"
        client.config_set("maxmemory", "1")
        assert why_redis(valkey.url, lambda it: it.set("x", "y")) == "its memory is full"
        client.config_set("maxmemory", "0")
        client.replicaof("127.0.0.1", str(free_port()))
        assert why_redis(valkey.url, lambda it: it.set("x", "y")) == "it only lets read, as a replica does"
        client.replicaof("NO", "ONE")
        client.config_set("requirepass", SECRET)
        assert why_redis(valkey.url) == "a password is needed, and the URL has none"
        client.config_set("requirepass", "")
        client.config_set("maxclients", "1")
        assert why_redis(valkey.url) == "it has too many connections"
    valkey.stop()
    assert why_redis(valkey.url) == "nothing listens there"
    assert why_redis(f"redis://:{SECRET}@127.0.0.1:{free_port()}") == "nothing listens there"
    assert why_redis(f"redis://:{SECRET}@nowhere.invalid") == "the name of its host is not known"
    assert why_redis("unix:///nowhere") == "there is no such socket"


@pytest.mark.serves
def test_why_a_file_of_certificates_is_of_no_use(context: ssl.SSLContext) -> None:
    reason = "a file that the URL names for encryption cannot be read"
    with shown(context) as port:
        assert why_redis(f"rediss://:{SECRET}@127.0.0.1:{port}?ssl_ca_certs=/nowhere.crt") == reason
    for named in ("sslrootcert=/nowhere.crt", "sslrootcert=/proc/self/mem"):
        with shown(context, before=b"S") as port:
            assert why_postgresql(f"postgresql://u:{SECRET}@127.0.0.1:{port}/x?sslmode=verify-full&{named}") == reason


@pytest.mark.serves
def test_why_a_certificate_is_refused(context: ssl.SSLContext) -> None:
    with shown(context) as port:
        assert why_redis(f"rediss://:{SECRET}@127.0.0.1:{port}") == "its certificate cannot be verified"
    with shown(context, before=b"S") as port:
        url = f"postgresql://u:{SECRET}@127.0.0.1:{port}/x?sslmode=verify-full&sslrootcert=system"
        assert why_postgresql(url) == "its certificate cannot be verified"
    with shown(None, before=b"N") as port:
        url = f"postgresql://u:{SECRET}@127.0.0.1:{port}/x?sslmode=verify-full&sslrootcert=system"
        assert why_postgresql(url) == "it does not encrypt, and the URL asks for that"


@contextmanager
def shown(context: ssl.SSLContext | None, before: bytes = b"") -> Iterator[int]:
    """A port at which a certificate is shown; for PostgreSQL after one byte that says whether it encrypts."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def show() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with suppress(OSError), connection:
                        if before:
                            connection.recv(8)
                            connection.sendall(before)
                        if context is not None:
                            context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=show, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


PROCESSES = ("ingress", "relay", "mail", "webhooks")


@pytest.mark.slow
def test_an_outage_is_told_of_once_when_it_begins_and_once_when_it_ends(
    platform: World, deployment: Deployment, valkey: Valkey, administer: Callable[..., None]
) -> None:
    KeepPartitions(platform.runtime).do()  # as the relay would in its first seconds, and says
    deployment.start(*PROCESSES)
    for name, word in zip(
        PROCESSES, ("ingress.started", "relay.leads", "pool.started", "webhooks.started"), strict=True
    ):
        until(lambda name=name, word=word: word in deployment.log(name), f"{name}: {word}")  # type: ignore[misc]
    before = {name: len(deployment.log(name).splitlines()) for name in PROCESSES}

    with database_away(platform.runtime.endpoints.database_url, administer):
        valkey.stop()
        for name in PROCESSES:
            until(lambda name=name: told(deployment, name, "away"), f"{name} tells of it")  # type: ignore[misc]
        with hanging_up(valkey) as tries:
            until(lambda: len(tries) > 30, "each has tried several times")
    valkey.restart()
    for name in PROCESSES:
        until(lambda name=name: told(deployment, name, "back"), f"{name} tells of it")  # type: ignore[misc]

    for name in PROCESSES:
        said = deployment.log(name).splitlines()[before[name] :]
        for server in ("postgresql", "redis", "webhooks.news"):
            lines = [line for line in said if f"server={server}" in line]
            assert len(lines) <= 2, lines
        assert [line for line in said if "Traceback" in line or "dramatiq" in line] == []
        assert len(said) <= 6, said
        assert deployment.processes[name].poll() is None


@contextmanager
def hanging_up(valkey: Valkey) -> Iterator[list[None]]:
    """In place of a Valkey that went away, a socket at which everybody is hung up on; an element for each who tried."""
    tries: list[None] = []
    path = Path(urlsplit(valkey.url).path)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    server.accept()[0].close()
                    tries.append(None)

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        yield tries
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def told(deployment: Deployment, name: str, what: str) -> bool:
    return f"server.{what}" in deployment.log(name)


@pytest.fixture
def pages(platform: World) -> Iterator[str]:
    """The pages, by their URL."""
    port = free_port()
    settings = platform.runtime.settings.model_copy(update={"rollcall_web_port": port})
    runtime = replace(platform.runtime, settings=settings)
    server = threading.Thread(target=app.run, args=(runtime,))
    server.start()
    url = f"http://127.0.0.1:{port}"
    until(lambda: get(f"{url}/healthz")[0] == 200, "a healthy answer")
    yield url
    runtime.stopping.set()
    server.join(10)


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=20) as page:  # noqa: S310 - our own
            return page.status, page.read().decode()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read().decode()
    except OSError:
        return 0, ""


def test_metrics_say_what_is_known_while_a_server_is_away(
    platform: World, pages: str, valkey: Valkey, administer: Callable[..., None]
) -> None:
    _, all_well = get(f"{pages}/metrics")
    assert 'rollcall_up{server="postgresql"} 1.0' in all_well
    assert 'rollcall_up{server="redis"} 1.0' in all_well

    with database_away(platform.runtime.endpoints.database_url, administer):
        status, text = get(f"{pages}/metrics")
        assert status == 200
        assert 'rollcall_up{server="postgresql"} 0.0' in text
        assert "rollcall_events_unread 0.0" in text
    valkey.stop()
    status, text = get(f"{pages}/metrics")
    assert status == 200
    assert 'rollcall_up{server="redis"} 0.0' in text
    assert 'rollcall_up{server="postgresql"} 1.0' in text
    assert "rollcall_mailings_sending 0.0" in text


def test_metrics_answer_while_a_server_is_frozen(platform: World, valkey: Valkey) -> None:
    wire = Wire(platform.runtime.endpoints.database_url)
    endpoints = replace(platform.runtime.endpoints, database_url=wire.url)
    with capture_logs() as said, served(replace(platform.runtime, endpoints=endpoints)) as runtime:
        page = f"{runtime.endpoints.public_url}/metrics"
        try:
            assert 'rollcall_up{server="postgresql"} 1.0' in get(page)[1]
            valkey.freeze()
            _, without_redis = get(page)
            wire.silence()
            _, without_both = get(page)
        finally:
            wire.close()
            valkey.stop()

    assert 'rollcall_up{server="redis"} 0.0' in without_redis
    assert 'rollcall_up{server="postgresql"} 1.0' in without_redis
    assert "rollcall_mailings_sending 0.0" in without_redis
    assert 'rollcall_up{server="redis"} 0.0' in without_both
    assert 'rollcall_up{server="postgresql"} 0.0' in without_both
    away = {line["server"]: line["why"] for line in said if line["event"] == "server.away"}
    assert away == dict.fromkeys(("redis", "postgresql"), "it does not answer in time")


def test_a_pool_that_never_runs_looks_ill(platform: World, pages: str) -> None:
    platform.has_learners("A")
    platform.has_course("safety", "everyone")
    assert get(f"{pages}/healthz")[0] == 200

    platform.execute("UPDATE work SET state = 'offered', since = now() - interval '11 seconds'")

    status, body = get(f"{pages}/healthz")
    assert (status, json.loads(body)) == (503, {"database": True, "redis": True, "stalled": ["mail"]})
    assert 'rollcall_work_stalled{queue="mail"} 1.0' in get(f"{pages}/metrics")[1]


LONG_AGO = "now() - interval '11 seconds'"


def ill(pages: str) -> tuple[int, list[str]]:
    """How the pages say it is: the code of `/healthz`, and whom it names."""
    status, body = get(f"{pages}/healthz")
    return status, json.loads(body).get("stalled", [])


def test_a_relay_that_never_runs_looks_ill_and_accuses_no_pool(platform: World, pages: str) -> None:
    platform.has_learners("A")
    platform.has_course("safety", "everyone")

    platform.execute(f"UPDATE work SET state = 'due', due_at = {LONG_AGO}, since = {LONG_AGO}")
    assert ill(pages) == (503, ["relay"])
    assert 'rollcall_stalled{process="relay"} 1.0' in get(f"{pages}/metrics")[1]
    platform.execute("DELETE FROM work")
    assert ill(pages) == (200, [])

    platform.execute(f"UPDATE outbox SET time = {LONG_AGO}")
    platform.execute(f"UPDATE publication SET published_at = {LONG_AGO}")
    assert ill(pages) == (503, ["relay"])
    platform.execute("UPDATE publication SET published_at = now()")
    assert ill(pages) == (200, []), "it has a backlog, and publishes"


def test_an_ingress_that_does_not_run_looks_ill(platform: World, pages: str) -> None:
    redis = platform.redis
    redis.xadd(IN, {"event": "{}"}, id=f"{redis.time()[0] - 11}000-0")
    assert ill(pages) == (503, ["ingress"])
    assert system_state(platform.runtime, redis).stalled == ["ingress"]
    assert 'rollcall_stalled{process="ingress"} 1.0' in get(f"{pages}/metrics")[1]

    ensure_group(redis)
    assert ill(pages) == (503, ["ingress"])
    redis.xreadgroup(GROUP, "one that works on a backlog", {IN: ">"}, count=1)
    assert ill(pages) == (200, [])
    redis.xgroup_delconsumer(IN, GROUP, "one that works on a backlog")
