"""What an organisation can count, and take away."""

from tasks.reports.store import CourseCount, MailCount, course_counts, headcounts, mail_counts
from tasks.reports.training import Format, Tab, stream

__all__ = ["CourseCount", "Format", "MailCount", "Tab", "course_counts", "headcounts", "mail_counts", "stream"]
