"""The relay: the chores that are done for everybody. Each has a file, an interval and the news that make it due."""

from workers.relay.leader import Relay, run

__all__ = ["Relay", "run"]
