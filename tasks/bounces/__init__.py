"""What comes back: delivery reports and complaints, and what follows from them."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.bounces.intake import Arrived, record_bounce
    from tasks.bounces.rules import BounceKind, Ignored
    from tasks.bounces.store import came_back, forget
else:
    __getattr__ = lazily(__name__)
