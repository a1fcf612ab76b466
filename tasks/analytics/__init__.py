"""What an organisation's numbers are by course, segment and day: counted by a worker where that takes long (R29)."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.analytics.actors import count
    from tasks.analytics.rules import UsedDay, forecast
    from tasks.analytics.store import (
        FIRST,
        CountState,
        SegmentSummary,
        TrainingDay,
        ask_for_count,
        courses,
        days,
        segments,
        state,
        used_days,
    )
else:
    __getattr__ = lazily(__name__)
