"""PostgreSQL that fails over: nodes under Patroni, with etcd, and HAProxy in front of them, which leads to the primary.

The programs are Debian's, which `.ci/failover` unpacks into `.failover`. All listen on this machine alone, and what is
started is ended by its pid, as an account that is nobody's.
"""

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import psycopg
import pytest

from config.programs import POSTGRESQL_SETTINGS, postmaster
from tests.servers.unpacked import free_port, wait_until, within_reach

FOLDER = Path(__file__).parents[2] / ".failover"

#: Debian's PostgreSQL, if it is installed; else it is unpacked with the others.
INSTALLED = Path("/usr/lib/postgresql/15/bin")

#: A file system in memory, if there is one with room for the nodes: they need not survive a crash of the machine.
MEMORY, ROOM = Path("/dev/shm"), 2 << 30  # noqa: S108 - nobody else can read what we make there

#: Whose the processes are if we are root, of the accounts that every Debian has: PostgreSQL refuses to be root's.
OWNER = "nobody"

#: Seconds without a word of the primary's Patroni after which another node takes its place, and between its words.
TTL_SECONDS, LOOP_SECONDS = 5, 1

#: Seconds in which a busy machine starts a node, or changes the primary.
PATIENCE_SECONDS = 90.0


@dataclass
class Node:
    """A PostgreSQL and its Patroni."""

    name: str
    folder: Path
    port: int
    rest: int
    patroni: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """Where PostgreSQL keeps what it keeps."""
        return self.folder / "data"

    @property
    def url(self) -> str:
        """Of its Patroni."""
        return f"http://127.0.0.1:{self.rest}"

    def is_primary(self) -> bool:
        """Whether its Patroni says so; one that is dead says nothing."""
        with suppress(OSError), urlopen(f"{self.url}/primary", timeout=2):  # noqa: S310 - http, on this machine
            return True
        return False


@dataclass
class Cluster:
    """Nodes, of which one is the primary."""

    folder: Path
    programs: Path
    synchronous: bool
    durable: bool
    etcd: int = field(default_factory=free_port)
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    nodes: dict[str, Node] = field(default_factory=dict)

    def url(self, database: str = "rollcall") -> str:
        """Through HAProxy."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def url_of_hosts(self, database: str = "rollcall") -> str:
        """Without HAProxy: each node is named, and libpq looks for the one that can be written to."""
        places = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes.values())
        words = "sslmode=disable&target_session_attrs=read-write"
        return f"postgresql://postgres:{self.password}@{places}/{database}?{words}"

    def url_of_node(self, node: Node, database: str = "rollcall") -> str:
        """One node, whatever it is."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{node.port}/{database}?sslmode=disable"

    def primary(self) -> Node | None:
        """The node whose Patroni says that it is the primary."""
        return next((node for node in self.nodes.values() if node.is_primary()), None)

    def standby(self) -> Node:
        """A node that is not."""
        return next(node for node in self.nodes.values() if not node.is_primary())

    def replicated(self) -> bool:
        """Whether a standby follows: if it is synchronous, whatever is committed is there first, and Patroni knows."""
        kind = "sync" if self.synchronous else "async"
        with suppress(psycopg.OperationalError), psycopg.connect(self.url("postgres")) as session:
            found = session.execute("SELECT sync_state, state FROM pg_stat_replication").fetchall()
            return (kind, "streaming") in found and (not self.synchronous or self._may_be_promoted())
        return False

    def _may_be_promoted(self) -> bool:
        """Whether Patroni has written down that a standby is synchronous: it promotes no other."""
        primary = self.primary()
        if primary is None:
            return False
        with suppress(OSError), urlopen(f"{primary.url}/cluster", timeout=2) as said:  # noqa: S310
            return any(member["role"] == "sync_standby" for member in json.load(said)["members"])
        return False

    def start(self, *nodes: Node) -> None:
        """Start the Patroni of nodes, which starts their PostgreSQL."""
        for node in nodes:
            node.patroni = self._run(
                ["/usr/bin/python3", self.programs / "usr/bin/patroni", node.folder / "patroni.json"],
                node.folder / "patroni.log",
            )

    def is_whole(self, *, synchronous: bool) -> None:
        """Start what was killed, and let the standby be waited for, or not."""
        self.start(*(node for node in self.nodes.values() if node.patroni is None))
        self.synchronous = synchronous
        wait_until(self._is_told, "Patroni to take its settings", PATIENCE_SECONDS)
        wait_until(self.replicated, "a standby that follows the primary", PATIENCE_SECONDS)

    def _is_told(self) -> bool:
        primary = self.primary()
        if primary is None:
            return False
        told = json.dumps({"synchronous_mode": self.synchronous}).encode()
        request = Request(f"{primary.url}/config", told, method="PATCH")  # noqa: S310 - http, on this machine
        with suppress(OSError), urlopen(request, timeout=5):  # noqa: S310
            return True
        return False

    def hold_back(self) -> psutil.Process:
        """Stop what takes the primary's log on the standby: what is committed from now on is on the primary alone."""
        found = postmaster(self.standby().data)
        assert found is not None
        receiver = next(one for one in found.children() if "walreceiver" in " ".join(one.cmdline()))
        receiver.suspend()
        return receiver

    def kill(self, node: Node) -> None:
        """End a node at once, as its machine does that loses power."""
        assert node.patroni is not None
        found = postmaster(node.data)
        node.patroni.kill()
        node.patroni.wait()
        node.patroni = None
        for one in [found, *found.children(recursive=True)] if found else []:
            with suppress(psutil.NoSuchProcess):
                one.kill()

    def _run(self, words: Sequence[str | Path], log: Path) -> subprocess.Popen[bytes]:
        libraries = ":".join(map(str, sorted(self.programs.glob("usr/lib/*-linux-gnu*"))))
        environment = {
            "PATH": os.environ["PATH"],
            "LD_LIBRARY_PATH": libraries,
            "PYTHONPATH": str(self.programs / "usr/lib/python3/dist-packages"),
            "LC_ALL": "C.UTF-8",
        }
        with log.open("ab") as output:
            return subprocess.Popen(
                words, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, **_as_owner(),
            )  # fmt: skip


def _as_owner() -> dict[str, Any]:
    return {"user": OWNER, "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


def _settings(durable: bool) -> dict[str, str]:
    ours = POSTGRESQL_SETTINGS | {"unix_socket_directories": "", "shared_buffers": "128MB", "wal_log_hints": "on"}
    if not durable:
        ours |= {"fsync": "off"}  # pg_rewind needs full_page_writes
    return {name: value for name, value in ours.items() if name not in {"listen_addresses", "port"}}


def _described(cluster: Cluster, node: Node) -> dict[str, Any]:
    """What Patroni is told."""
    bin_ = INSTALLED if INSTALLED.exists() else cluster.programs / "usr/lib/postgresql/15/bin"
    who = {"username": "postgres", "password": cluster.password}
    where = f"127.0.0.1:{node.port}"
    return {
        "scope": "rollcall",
        "name": node.name,
        "etcd3": {"hosts": f"127.0.0.1:{cluster.etcd}"},
        "restapi": {"listen": f"127.0.0.1:{node.rest}", "connect_address": f"127.0.0.1:{node.rest}"},
        "bootstrap": {
            "dcs": {
                "ttl": TTL_SECONDS,
                "loop_wait": LOOP_SECONDS,
                "retry_timeout": 2,
                "synchronous_mode": cluster.synchronous,
                "maximum_lag_on_failover": 1 << 40,
                "postgresql": {"use_pg_rewind": True, "parameters": _settings(cluster.durable)},
            },
            "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "no-sync"],
        },
        "postgresql": {
            "listen": where,
            "connect_address": where,
            "data_dir": str(node.data),
            "bin_dir": str(bin_),
            "remove_data_directory_on_rewind_failure": True,
            "remove_data_directory_on_diverged_timelines": True,
            "pgpass": str(node.folder / "pgpass"),
            "authentication": {"superuser": who, "replication": who, "rewind": who},
            "pg_hba": ["host all all 127.0.0.1/32 scram-sha-256", "host replication all 127.0.0.1/32 scram-sha-256"],
            "basebackup": [{"checkpoint": "fast"}, "no-sync"],
        },
    }


#: Before the nodes, as docs/guides/failover.md has it.
HAPROXY = """\
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout check 2s

listen primary
    bind 127.0.0.1:{port}
    option httpchk OPTIONS /primary
    default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
"""


def _haproxy(cluster: Cluster) -> str:
    servers = (
        f"    server {node.name} 127.0.0.1:{node.port} check port {node.rest}\n" for node in cluster.nodes.values()
    )
    return HAPROXY.format(port=cluster.port) + "".join(servers)


@contextmanager
def cluster(nodes: int = 2, *, synchronous: bool = True, durable: bool = False) -> Iterator[Cluster]:
    """A cluster, of which a standby follows the primary; nothing of it is left at the end. Skips where there are no
    programs."""
    if not (FOLDER / "complete").exists():
        pytest.skip("no Patroni, etcd and HAProxy in .failover: run .ci/failover on Debian")
    memory = not durable and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    with (
        tempfile.TemporaryDirectory(
            prefix="rollcall-ha-", dir=MEMORY if memory else None, ignore_cleanup_errors=True
        ) as made,
        ExitStack() as stack,
    ):
        place = Path(made)
        found = Cluster(place, within_reach(FOLDER, place), synchronous, durable)
        for name in ("one", "two", "three")[:nodes]:
            node = Node(name, place / name, free_port(), free_port())
            node.folder.mkdir()
            (node.folder / "patroni.json").write_text(json.dumps(_described(found, node)))
            found.nodes[name] = node
        (place / "haproxy.cfg").write_text(_haproxy(found))
        if os.geteuid() == 0:
            for path in (place, *place.glob("[!p]*")):  # all but the programs
                shutil.chown(path, OWNER, "nogroup")

        started: list[subprocess.Popen[bytes]] = []
        stack.callback(_end, found, started)
        client, peer = f"http://127.0.0.1:{found.etcd}", f"http://127.0.0.1:{free_port()}"
        etcd: list[str | Path] = [
            "--data-dir",
            place / "etcd",
            "--listen-client-urls",
            client,
            "--advertise-client-urls",
            client,
        ]
        etcd += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        etcd += ["--initial-cluster", f"default={peer}", "--unsafe-no-fsync", "--logger", "zap", "--log-level", "warn"]
        started.append(found._run([found.programs / "usr/bin/etcd", *etcd], place / "etcd.log"))
        started.append(
            found._run([found.programs / "usr/sbin/haproxy", "-f", place / "haproxy.cfg"], place / "haproxy.log")
        )
        found.start(*found.nodes.values())
        wait_until(found.replicated, "a standby that follows the primary", PATIENCE_SECONDS)
        with psycopg.connect(found.url("postgres"), autocommit=True) as session:
            session.execute("CREATE DATABASE rollcall")
        yield found


def _end(found: Cluster, started: list[subprocess.Popen[bytes]]) -> None:
    for node in found.nodes.values():
        if node.patroni is not None:
            found.kill(node)
    for process in started:
        process.kill()
        process.wait()
