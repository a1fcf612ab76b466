"""The audit log: what was done, by whom, through which door, and with which outcome."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.audit.export import stream_entries
    from tasks.audit.store import (
        AuditEntry,
        AuditFilter,
        AuditRecord,
        Place,
        forget,
        has_old,
        place_after,
        place_after_of_all,
        record,
        record_refusal,
        records,
        records_of_all,
        settle_refusals,
    )
else:
    __getattr__ = lazily(__name__)
