"""What needs no server is `fast`, and starts none."""

import socket
import subprocess
import sys
from collections.abc import Callable

import pytest


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
