"""What an organisation can count."""

from tasks.reports.store import CourseCount, MailCount, course_counts, headcounts, mail_counts

__all__ = ["CourseCount", "MailCount", "course_counts", "headcounts", "mail_counts"]
