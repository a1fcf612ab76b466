"""What comes back: delivery reports, complaints, and the addresses that get no more mail because of them."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.bounces.intake import Arrived, take
    from tasks.bounces.rules import Ignored, Kind, Suppressed
    from tasks.bounces.store import SUPPRESSIONS, Chosen, Suppression, came_back, count, lift, suppress
else:
    __getattr__ = lazily(__name__)

__all__ = [
    "SUPPRESSIONS",
    "Arrived",
    "Chosen",
    "Ignored",
    "Kind",
    "Suppressed",
    "Suppression",
    "came_back",
    "count",
    "lift",
    "suppress",
    "take",
]
