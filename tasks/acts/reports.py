"""Reports: what an organisation can count, and take away."""

from dataclasses import dataclass

from config.errors import NotFound
from config.phrases import NO_COURSE
from tasks import reports
from tasks.acts.acting import Doing, act
from tasks.acts.exporting import exported
from tasks.acts.paging import Stream
from tasks.reports import Format, Report, Tab


@dataclass(frozen=True, slots=True)
class SummaryOf:
    """One course alone, or all."""

    course: str | None = None


@dataclass(frozen=True, slots=True)
class TrainingExport:
    """Whose rows, and how they are written."""

    tab: Tab = Tab.ACTIVE
    format: Format = Format.CSV


@dataclass(frozen=True, slots=True)
class HistoryExport:
    """Whose rows, and how they are written."""

    tab: Tab = Tab.ARCHIVED
    format: Format = Format.CSV


@act("reports.summary", "GET reports/summary")
def summary(doing: Doing, asked: SummaryOf) -> list[reports.CourseSummary]:
    """Count, for each course, the enrolments of learners who are active now (R29)."""
    org = doing.organisation
    with doing.transaction() as connection:
        courses = reports.summary(connection, org.organisation, asked.course)
    if asked.course is not None and not courses:
        raise NotFound(NO_COURSE(course=repr(asked.course), organisation=repr(org.id)))
    return courses


@act("reports.training", "GET reports/training")
def training(doing: Doing, asked: TrainingExport) -> Stream:
    """Export one row for each enrolment: how it came about, how far it came, and who has access (R29, R30)."""
    return _exported(doing, "training", reports.TRAINING, asked.tab, asked.format)


@act("reports.history", "GET reports/history")
def history(doing: Doing, asked: HistoryExport) -> Stream:
    """Export one row for each change of status: when each learner became active or inactive, and why (R30)."""
    return _exported(doing, "history", reports.HISTORY, asked.tab, asked.format)


def _exported(doing: Doing, name: str, report: Report, tab: Tab, written: Format) -> Stream:
    number = doing.organisation.organisation
    return exported(
        doing, f"{name}-{tab}", written, lambda connection: reports.stream(connection, report, number, tab, written)
    )
