"""The processes of an installation, on every host: what each is and does, and what all of them have counted."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.fleet.store import (
        GONE_AFTER,
        Process,
        ProcessRole,
        add_counts,
        counted,
        leave,
        processes,
        report,
        unserved,
    )
else:
    __getattr__ = lazily(__name__)
