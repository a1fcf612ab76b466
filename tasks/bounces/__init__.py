"""What comes back: delivery reports, complaints, and the addresses that get no more mail because of them."""

from tasks.bounces.intake import Arrived, take
from tasks.bounces.rules import Ignored, Kind, Suppressed
from tasks.bounces.store import SUPPRESSIONS, Chosen, Suppression, came_back, count, lift, suppress
from tasks.bounces.verp import LONGEST_TOKEN, ReturnPaths

__all__ = [
    "LONGEST_TOKEN",
    "SUPPRESSIONS",
    "Arrived",
    "Chosen",
    "Ignored",
    "Kind",
    "ReturnPaths",
    "Suppressed",
    "Suppression",
    "came_back",
    "count",
    "lift",
    "suppress",
    "take",
]
