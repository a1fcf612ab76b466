"""Variables in the environment that look like settings of ours and are none."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from config.errors import ConfigurationError

#: Variables that Kubernetes sets in every container, where a service is called rollcall or begins so.
_OF_KUBERNETES = re.compile(r"ROLLCALL_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")

#: What processes of ours tell each other by: `workers.readiness`, and the shell's completion.
_INTERNAL = ("ROLLCALL_READY_FD", "ROLLCALL_COMPLETE")


def refuse_unknown(environment: Mapping[str, str], settings: Iterable[str]) -> None:
    """Refuse a variable that begins with ours and is none of these settings: it was meant to do something. Raises
    `ConfigurationError`."""
    known = [name.upper() for name in settings]
    for name, value in environment.items():
        given = name.upper()
        if (
            not given.startswith("ROLLCALL_")
            or given in {*known, *_INTERNAL}
            or not value
            or _OF_KUBERNETES.fullmatch(given)
        ):
            continue
        near = get_close_matches(given, known, 1, 0.0)[0]
        raise ConfigurationError(f"{name} is no setting of Rollcall: is {near} meant? docs/settings.md lists them all.")
