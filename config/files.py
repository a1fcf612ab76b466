"""How many files, sockets included, a process may have open."""

import resource
from contextlib import suppress

#: What is asked for where the system sets no limit.
ENOUGH = 65_536


def raise_limit() -> int:
    """Raise this process's limit of open files as far as the system lets it; the limit from then on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ENOUGH if soft == resource.RLIM_INFINITY else soft
