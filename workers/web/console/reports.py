"""Reports: how far the active have come, with plots, and the archive of the inactive, with its export (R29, R30)."""

from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup

from config.errors import Invalid
from tasks.acts import analytics, reports
from tasks.acts.analytics import Analytics, AnalyticsOf
from tasks.acts.paging import PageAsked, Stream
from tasks.acts.reports import HistoryExport, TrainingExport
from tasks.analytics import TrainingDay
from workers.web.console.plots import Series, bars, line
from workers.web.console.visits import SECTIONS, Section, Shown, Visit, page

#: Days to choose from; longer ones are drawn by week.
SPANS = (30, 90, 365)

#: Days of a plot from which on it has weeks in it.
BY_WEEK = 120

#: Courses or segments on a page of their list, and in the plot above it.
SHOWN, DRAWN = 20, 10

#: Learners on a page of the archive.
ARCHIVED = 25

SECTIONS.append(Section("reports", "Reports", reports.summary))


@page("GET organisations/{organisation}/reports", needs=reports.summary, section="reports")
def show(visit: Visit) -> Shown:
    """Analytics of the active, or the archive of the inactive."""
    return _archived(visit) if visit.said("tab") == "archived" else _analytics(visit)


@page("GET organisations/{organisation}/reports/training", needs=reports.training, exports=True)
def training(visit: Visit) -> Stream:
    """The training report of a tab, with the columns that the command and the API have."""
    return visit.ask(reports.training, visit.read(TrainingExport))


@page("GET organisations/{organisation}/reports/history", needs=reports.history, exports=True)
def history(visit: Visit) -> Stream:
    """Each change of status of the learners of a tab."""
    return visit.ask(reports.history, visit.read(HistoryExport))


def _analytics(visit: Visit) -> Shown:
    asked = visit.read(AnalyticsOf)
    if asked.days not in SPANS:
        raise Invalid(f"`days` is one of {', '.join(map(str, SPANS))}.")
    found = visit.ask(analytics.of_days, asked)
    courses = visit.ask(analytics.by_course, PageAsked(SHOWN, visit.said("courses") or None))
    segments = visit.ask(analytics.by_segment, PageAsked(SHOWN, visit.said("segments") or None))
    gettext = visit.reader.words.gettext
    series = (("started", gettext("Started")), ("completed", gettext("Completed")))

    def drawn(title: str, along: str, each: Sequence[object], name: str) -> Markup:
        values = [Series(title, [getattr(one, field) for one in each]) for field, title in series]
        return bars(visit.reader, title, along, [getattr(one, name) for one in each], values)

    return Shown(
        "reports",
        {
            "tab": "analytics",
            "asked": asked,
            "spans": SPANS,
            "found": found,
            "over_time": _over_time(visit, found),
            "courses": courses.items,
            "more_courses": courses.next,
            "segments": segments.items,
            "more_segments": segments.next,
            "by_course": drawn(
                gettext("Started and completed by course"), gettext("Course"), courses.items[:DRAWN], "title"
            ),
            "by_segment": drawn(
                gettext("Started and completed by segment"), gettext("Segment"), segments.items[:DRAWN], "name"
            ),
        },
    )


def _over_time(visit: Visit, found: Analytics) -> Markup:
    """The line of days or, where there are many, of weeks, each named by its first day."""
    gettext, reader, days = visit.reader.words.gettext, visit.reader, found.days
    weekly = len(days) > BY_WEEK
    if weekly:
        days = [_added(days[n : n + 7]) for n in range(len(days) % 7, len(days), 7)]
    title = gettext("Started and completed by week") if weekly else gettext("Started and completed by day")
    return line(
        reader,
        title,
        gettext("Week from") if weekly else gettext("Day (UTC)"),
        [reader.day(one.day) for one in days],
        [
            Series(gettext("Started"), [one.started for one in days]),
            Series(gettext("Completed"), [one.completed for one in days]),
        ],
    )


def _added(days: Sequence[TrainingDay]) -> TrainingDay:
    return replace(days[0], started=sum(one.started for one in days), completed=sum(one.completed for one in days))


def _archived(visit: Visit) -> Shown:
    found = visit.ask(analytics.archived, PageAsked(ARCHIVED, visit.said("after") or None))
    return Shown("reports_archived", {"tab": "archived", "learners": found.items, "after": found.next})
