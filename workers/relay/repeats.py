"""Deletes the answers that were kept for a repeated request, after a day."""

from tasks.acts.repeats import forget_old
from workers.relay.chore import ForEverybody


class ForgetRepeats(ForEverybody):
    """Deletes answers whose day is over."""

    name = "repeats"
    seconds = 600.0
    all_of_it = staticmethod(forget_old)
