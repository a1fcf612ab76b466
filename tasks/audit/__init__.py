"""The audit log: what was done, by whom, through which door, and with which outcome."""

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
