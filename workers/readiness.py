"""How a process tells whoever started it that it is connected to what it needs and at work, and that it lives on:
`rollcall up` by a pipe, systemd by its socket (sd_notify)."""

import os
import socket
import time
from contextlib import suppress

#: Names, in the environment of a process, the descriptor of the pipe that this is written to.
VARIABLE = "ROLLCALL_READY_FD"

#: What systemd tells a process that it starts: it hears of `rollcall up`, and not of each process of that.
OF_SYSTEMD = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

#: Seconds between two times at which systemd is told that a process lives.
TELL_SECONDS = 5.0

_told = -TELL_SECONDS


def report() -> None:
    """Say so, once; nothing is done where nobody asked."""
    descriptor = os.environ.pop(VARIABLE, "")
    if descriptor.isdecimal():
        with suppress(OSError):
            os.write(int(descriptor), b"ready\n")
            os.close(int(descriptor))
    _notify(b"READY=1")


def alive() -> None:
    """Say that the process goes on, as often as somebody needs to hear of it."""
    global _told  # noqa: PLW0603 - there is one process
    if "WATCHDOG_USEC" in os.environ and time.monotonic() - _told >= TELL_SECONDS:
        _told = time.monotonic()
        _notify(b"WATCHDOG=1")


def _notify(state: bytes) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.sendto(state, "\0" + address[1:] if address.startswith("@") else address)
