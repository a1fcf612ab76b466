"""What needs no server is `fast`, and starts none."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def listen() -> object:
    return socket.create_server(("127.0.0.1", 0))


def connect() -> object:
    return socket.create_connection(("127.0.0.1", 1))


def run() -> object:
    return subprocess.run([sys.executable, "-c", ""], check=True)


@pytest.mark.parametrize("do", [listen, connect, run])
def test_a_fast_test_neither_starts_nor_reaches_a_server(do: Callable[[], object]) -> None:
    with pytest.raises(AssertionError, match="`serves`"):
        do()


@pytest.mark.serves
def test_other_tests_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        run()


def test_what_decides_in_each_capability_is_tested_without_a_server() -> None:
    """In a file of its own, so that it is found."""
    decides = {path.parent.name for path in (ROOT / "tasks").glob("*/rules.py")}
    tested = {path.parent.name for path in (ROOT / "tests").glob("*/test_rules.py")}

    assert decides - tested == set()
