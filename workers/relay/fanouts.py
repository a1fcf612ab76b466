"""Finishes fan-outs of which no piece of work is left, and says what became of them."""

from tasks.enrolments import finish_fanouts, running_fanouts
from workers.relay.chore import ForEverybody


class FinishFanouts(ForEverybody):
    """Finishes fan-outs."""

    name = "finish fan-outs"
    seconds = 2.5
    news = frozenset({"fanouts"})
    all_of_it = staticmethod(finish_fanouts)
    any_of_it = staticmethod(running_fanouts)
