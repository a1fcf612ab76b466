"""For how long what happened is kept: partitions by month or period, made and dropped, without deleting a row (R35)."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.retention.ids import ArrivalPeriod, begin_period, drop_period, is_over, over, periods
    from tasks.retention.rules import Partition, months_to_make, to_drop
    from tasks.retention.store import PATIENCE, drop, make, make_numbered, partitions
else:
    __getattr__ = lazily(__name__)
