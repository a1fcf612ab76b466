"""How a process of the Procfile tells `rollcall up` that it is connected to what it needs, and at work."""

import os
from contextlib import suppress

#: Names, in the environment of a process, the descriptor of the pipe that this is written to.
VARIABLE = "ROLLCALL_READY_FD"


def report() -> None:
    """Say so, once; nothing is done where nobody asked."""
    descriptor = os.environ.pop(VARIABLE, "")
    if descriptor.isdecimal():
        with suppress(OSError):
            os.write(int(descriptor), b"ready\n")
            os.close(int(descriptor))
