"""Hosts: network namespaces on a bridge of this machine, each with processes of its own; the servers are beside them.

What runs in a namespace has its own network and nothing of this machine's, so a host can be cut off as a cable that is
pulled cuts it off: nothing is closed, and nobody is told.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

import migrations
from bench.system import TEMPLATE, System
from config.embedded import embedded_services
from config.engine import make_engine
from config.streams import make_redis

IP = shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or ""


@dataclass(frozen=True)
class Network:
    """A bridge at `address`, and hosts behind it. `name`: what all that belongs to it begins with."""

    name: str
    address: str

    def host(self, number: int) -> list[str]:
        """What a command is put after to run on a host."""
        return [IP, "netns", "exec", f"{self.name}h{number}"]

    def cut(self, number: int) -> None:
        """Pull the cable of a host."""
        ip("link", "set", f"{self.name}v{number}", "down")

    def plug(self, number: int) -> None:
        """Put it back."""
        ip("link", "set", f"{self.name}v{number}", "up")


def ip(*words: str) -> None:
    """Change the network of this machine, or of a namespace of it."""
    subprocess.run([IP, *words], check=True, capture_output=True, text=True)


@contextmanager
def network(hosts: int) -> Iterator[Network]:
    """So many hosts, numbered from 1; nothing of them is left. Skips where none can be made."""
    if os.geteuid() != 0 or not IP:
        pytest.skip("no network namespaces: they need root and iproute2")
    number = os.getpid()
    prefix = f"10.{200 + number // 256 % 50}.{number % 256}"
    found = Network(f"rc{number}", f"{prefix}.1")
    with ExitStack() as stack:
        try:
            _bridge(stack, found)
            for host in range(1, hosts + 1):
                _host(stack, found, host, f"{prefix}.{host + 1}/24")
        except (subprocess.CalledProcessError, OSError) as problem:
            pytest.skip(f"no network namespaces: {getattr(problem, 'stderr', '') or problem}")
        yield found


def _bridge(stack: ExitStack, of: Network) -> None:
    name = f"{of.name}b"
    ip("link", "add", name, "type", "bridge")
    stack.callback(ip, "link", "delete", name)
    ip("address", "add", f"{of.address}/24", "dev", name)
    ip("link", "set", name, "up")


def _host(stack: ExitStack, of: Network, number: int, address: str) -> None:
    name, cable = f"{of.name}h{number}", f"{of.name}v{number}"
    ip("netns", "add", name)
    stack.callback(ip, "netns", "delete", name)  # and the cable with it
    ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
    ip("link", "set", cable, "master", f"{of.name}b", "up")
    for words in (
        ["address", "add", address, "dev", "eth0"],
        ["link", "set", "eth0", "up"],
        ["link", "set", "lo", "up"],
    ):
        ip("-n", name, *words)


@contextmanager
def servers(on: Network, home: Path) -> Iterator[System]:
    """A PostgreSQL and a Valkey that hosts reach by the network, with the database that others are copies of."""
    with embedded_services(home, database=True, redis=False, smtp=False, durable=False) as embedded:
        with psycopg.connect(embedded.database_url or "", autocommit=True) as admin:
            admin.execute(f"ALTER SYSTEM SET listen_addresses = '{on.address}'".encode())
            admin.execute(f'CREATE DATABASE "{TEMPLATE}"'.encode())
        engine = make_engine((embedded.database_url or "").replace("/rollcall?", f"/{TEMPLATE}?"), role="test")
        migrations.bring_up_to_date(engine)
        engine.dispose()
        with (home / "postgresql" / "pg_hba.conf").open("a") as file:
            file.write(f"host all postgres {on.address}/24 trust\n")
    with embedded_services(home, database=True, redis=True, smtp=False, durable=False) as embedded:
        assert embedded.redis_url is not None
        with make_redis(embedded.redis_url) as client:
            client.config_set("bind", on.address)
            client.config_set("protected-mode", "no")
            client.config_set("port", "6379")
            url = f"postgresql://postgres@{on.address}:5432/rollcall?sslmode=disable"
            yield System(home, url, f"redis://{on.address}:6379/0", client, embedded.pids)
