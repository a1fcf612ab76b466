"""For how long what happened is kept: partitions by month or period, made and dropped, without deleting a row (R35)."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.retention.rules import Partition, is_over, months_to_make, over, to_drop
    from tasks.retention.store import (
        PATIENCE,
        begin_period,
        drop,
        drop_period,
        make,
        make_numbered,
        partitions,
        periods,
    )
else:
    __getattr__ = lazily(__name__)
