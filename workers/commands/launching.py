"""What `announcements launch` asks first: whether so many are to receive it."""

import typer

from config.words import counted
from tasks.acts.launching import Readiness
from workers.commands.common import UNASKED, Refused, at_a_terminal


def approved(ready: Readiness) -> int | None:
    """Ask a person before many are mailed; where there is none, refuse. How many may receive it, then."""
    if ready.will_receive is None or ready.will_receive <= UNASKED:
        return None if ready.will_receive is None else UNASKED
    what = f"{counted(ready.will_receive, 'learner')} would receive {ready.announcement}"
    if not at_a_terminal():
        raise Refused(f"It was not launched: {what}. Say --yes if they are to.")
    if not typer.confirm(f"{what}. Launch it?", err=True):
        raise Refused("It was not launched.")
    return ready.will_receive
