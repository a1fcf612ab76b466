"""Actors: what is done for a piece of work, under the name that the piece has; each registers when it is imported."""

from collections.abc import Callable

import dramatiq

from config.runtime import Runtime
from tasks.work.store import Piece


class Registry(dramatiq.Broker):
    """A broker without a server: it knows the actors."""

    def __init__(self) -> None:
        super().__init__(middleware=[])
        self.actor_options = {"throws"}

    def declare_queue(self, queue_name: str) -> None:
        """A piece of work says itself which queue it is in."""


REGISTRY = Registry()


def actor(
    name: str,
) -> Callable[[Callable[[Runtime, Piece], None]], dramatiq.Actor[[Runtime, Piece], None]]:
    """Have a function do the pieces of work of this name. It finishes or releases the piece in the transaction that
    writes the outcome; if it raises, the piece is given back, and tried again after a pause."""
    return dramatiq.actor(actor_name=name, broker=REGISTRY, throws=Exception)  # or dramatiq logs what may be of people
