"""What an organisation can count, and take away."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.reports.export import Format, Report, Tab, bound, stream, stream_rows
    from tasks.reports.history import HISTORY
    from tasks.reports.store import (
        ArchivedRow,
        CourseSummary,
        MailCount,
        archived,
        course_counts,
        headcounts,
        mail_counts,
        summary,
    )
    from tasks.reports.training import TRAINING
else:
    __getattr__ = lazily(__name__)
