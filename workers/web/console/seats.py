"""Seats and credits: what is used of the pool, when it runs out, the ledger, and what is to be reviewed (R25, R28)."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate

from markupsafe import Markup

from config import clock
from config.errors import Conflict, Invalid, NotFound
from tasks.acts import Nothing, analytics, seats
from tasks.acts.analytics import PoolUse
from tasks.acts.paging import Stream
from tasks.acts.seats import EntryReview, LedgerExport, LedgerPage
from tasks.reports import Format
from workers.web.console.plots import Series, line
from workers.web.console.visits import SECTIONS, Gone, Section, Shown, Visit, page

#: Entries on a page.
SHOWN = 50

#: Points of a plot at most: of a longer period each is several days.
POINTS = 120

#: Days of a period without an end that are drawn.
OPEN_DAYS = 365

SECTIONS.append(Section("seats", "Seats", analytics.use))


@page("GET organisations/{organisation}/seats", needs=analytics.use, section="seats")
def overview(visit: Visit) -> Shown:
    """What is used of the pool in this period, and what is to be expected."""
    found = visit.ask(analytics.use, Nothing())
    flagged = visit.ask(seats.ledger, LedgerPage(review=True, limit=1)).items
    plot = _plot(visit, found, clock.now().date())
    return Shown("seats", {"tab": "overview", "use": found, "plot": plot, "flagged": bool(flagged)})


@page("GET organisations/{organisation}/seats/ledger", needs=seats.ledger, section="seats")
def ledger(visit: Visit) -> Shown:
    """The entries, oldest first, and those alone that are to be reviewed."""
    since, until = _day(visit, "since"), _day(visit, "until")
    learner, review = visit.said("learner").strip() or None, bool(visit.said("review"))
    asked = LedgerPage(learner, review, _begins(since), _ends(until), SHOWN, visit.said("after") or None)
    found = visit.ask(seats.ledger, asked)
    kept = {"learner": learner, "review": "yes" if review else None, "since": since, "until": until}
    return Shown(
        "seats_ledger",
        {
            "tab": "review" if review else "ledger",
            "kept": kept,
            "entries": found.items,
            "after": found.next,
            "may_review": visit.may("seats.reviewed"),
        },
    )


@page("GET organisations/{organisation}/seats/ledger/export", needs=seats.export, exports=True)
def export(visit: Visit) -> Stream:
    """The entries that the list finds, as a file."""
    since, until = _begins(_day(visit, "since")), _ends(_day(visit, "until"))
    asked = LedgerExport(visit.said("learner").strip() or None, bool(visit.said("review")), since, until, Format.CSV)
    return visit.ask(seats.export, asked)


@page("POST organisations/{organisation}/seats/ledger/{entry}", needs=seats.reviewed, section="seats")
def reviewed(visit: Visit) -> Gone:
    """Say that an entry was looked at, and what was found. The ledger stays as it is (R28)."""
    why = visit.said("why").strip()
    if not why:
        raise Invalid(visit.reader.words.gettext("Say what you found: it is kept with the entry."))
    try:
        done = visit.ask(seats.reviewed, EntryReview(visit.path["entry"], why))
    except NotFound:
        says = visit.reader.words.gettext("Nothing is to be reviewed in that entry: somebody may have been faster.")
        raise Conflict(says) from None
    gettext = visit.reader.words.gettext
    flags = {
        "learner inactive": gettext("was inactive then"),
        "not enrolled": gettext("was not enrolled then"),
        "course on hold": gettext("course on hold"),
        "outside licence period": gettext("outside the licence period"),
    }
    says = gettext("Entry {entry} is reviewed: {flags}.")
    back = visit.back(visit.url("seats", "ledger", review="yes"), f"{visit.url('seats', 'ledger')}?")
    return Gone(back, says.format(entry=done.id, flags=", ".join(flags.get(one, one) for one in done.settled)))


def _plot(visit: Visit, found: PoolUse, today: date) -> Markup:
    """What was used, added up, beside the pool and what is expected, from the beginning of the period to its end."""
    gettext, first = visit.reader.words.gettext, min((one.day for one in found.days), default=today)
    starts = found.starts.date() if found.starts else first
    ends = (found.ends - timedelta(microseconds=1)).date() if found.ends else max(today, starts)
    starts = max(starts, ends - timedelta(days=OPEN_DAYS)) if found.ends is None else starts
    step = -(-((ends - starts).days + 1) // POINTS)
    days = [starts + timedelta(days=n) for n in range(0, (ends - starts).days + 1, step)]
    days = sorted({*days, ends, *((today,) if starts <= today <= ends else ())})
    by_day = {one.day: one.used for one in found.days}
    every = sorted({*by_day, *days})
    sums = dict(zip(every, accumulate(by_day.get(day, 0) for day in every), strict=True))
    used = [sums[day] if day <= today else None for day in days]
    series = [Series(gettext("Used"), used)]
    if found.per_day and today < ends:
        expected = [round(sums[today] + found.per_day * (day - today).days) if day >= today else None for day in days]
        series.append(Series(gettext("Expected"), expected, "forecast"))
    if found.pool is not None:
        series.append(Series(gettext("Pool"), [found.pool] * len(days), "limit"))
    title = gettext("Seats used in this period") if found.unit == "seat" else gettext("Credits used in this period")
    return line(visit.reader, title, gettext("Day (UTC)"), [visit.reader.day(day) for day in days], series)


def _day(visit: Visit, name: str) -> date | None:
    """A day of the query, as the browser's field has it. Raises `Invalid`."""
    said = visit.said(name)
    try:
        return date.fromisoformat(said) if said else None
    except ValueError:
        raise Invalid(f"`{name}` is not a day: it is written like 2026-01-31.") from None


def _begins(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time.min, UTC)


def _ends(day: date | None) -> datetime | None:
    """The first moment after a day."""
    return None if day is None or day == date.max else datetime.combine(day + timedelta(days=1), time.min, UTC)
