"""Enrolments: courses and whom they enrol by rule, enrolling and withdrawing by hand, and how far that is."""

from collections.abc import Mapping
from typing import Any, Literal, cast

from config import clock
from config.errors import Invalid, UserError
from tasks.acts import Nothing, course_previews, courses, enrolments, learner_previews, learners, segments
from tasks.acts.acting import tag_of
from tasks.acts.course_previews import CourseChange, EnrolmentMethod, EnrolmentTab
from tasks.acts.courses import CourseMethod, OneCourse
from tasks.acts.enrolments import EnrolmentsAsked, OneFanout, WithdrawalAsked
from tasks.acts.paging import Begun, PageAsked, Stream, UnderWay
from tasks.enrolments import CourseDetails, EnrolmentCounts, RunningFanout
from workers.web.console.choosing import ChosenIds, chosen
from workers.web.console.exporting import exported
from workers.web.console.lists import listing
from workers.web.console.progress import HowFar
from workers.web.console.visits import SECTIONS, Gone, Section, Shown, Undo, Visit, page

#: Segments that are offered to choose from; others are named by their ids.
OFFERED = 200

#: The path of one course.
ONE = "organisations/{organisation}/courses/{course}"

SECTIONS.append(Section("enrolments", "Enrolments", courses.list_))


def _under_way(visit: Visit) -> list[RunningFanout]:
    return visit.once(enrolments.running, Nothing())


@page("GET organisations/{organisation}/enrolments", needs=courses.list_, section="enrolments", live=_under_way)
def list_courses(visit: Visit) -> Shown:
    """Courses, whom each enrols by rule, and what is under way."""
    return Shown("enrolments", {"listing": listing(visit, courses.list_), "running": _under_way(visit)})


@page("GET organisations/{organisation}/enrolments/export", needs=courses.list_, exports=True)
def export_courses(visit: Visit) -> Stream:
    """The courses, as a file."""
    return exported(visit, "courses", courses.list_)


def _progress(visit: Visit) -> UnderWay[EnrolmentCounts]:
    return visit.once(enrolments.show, OneFanout(_number(visit)))


@page(
    "GET organisations/{organisation}/enrolments/{fanout}", needs=enrolments.show, section="enrolments", live=_progress
)
def show_fanout(visit: Visit) -> Shown:
    """How far the enrolling of many is, and what came of it (R14)."""
    found = _progress(visit)
    about = next((one for one in _under_way(visit) if one.fanout == _number(visit)), None)
    progress = HowFar(found.done, found.total)
    if about is not None:
        progress = HowFar.since(about.began_at, found.done, found.total, clock.now())
    return Shown("enrolments_fanout", {"found": found, "about": about, "progress": progress})


@page(f"GET {ONE}", needs=courses.show, section="enrolments")
@page(f"POST {ONE}", needs=courses.show, section="enrolments")
def show_course(visit: Visit) -> Shown:
    """A course: whom it enrols by rule, who is enrolled, and ways to enrol others."""
    course = visit.ask(courses.show, OneCourse(visit.path["course"]))
    offered = visit.ask(segments.list_, PageAsked(limit=OFFERED))
    said = {
        "course": course,
        "segments": offered.items,
        "more_segments": offered.next is not None,
        "listing": listing(visit, enrolments.roster, course=course.course),
        "may_change": visit.may("courses.method", "enrolments.request", "enrolments.withdraw"),
    }
    return Shown("enrolments_course", said)


@page(f"GET {ONE}/export", needs=enrolments.roster, exports=True)
def export_enrolled(visit: Visit) -> Stream:
    """Who is enrolled in a course, as a file."""
    return exported(visit, "enrolled", enrolments.roster, course=visit.path["course"])


@page(f"GET {ONE}/users", needs=enrolments.request, section="enrolments")
@page(f"POST {ONE}/users", needs=enrolments.request, section="enrolments")
def choose_users(visit: Visit) -> Shown:
    """Users to tick: in the tab of the active, of all, or of the inactive (R8)."""
    said = {
        "course": visit.ask(courses.show, OneCourse(visit.path["course"])),
        "listing": listing(visit, learners.list_),
        "counts": visit.ask(learner_previews.counts, Nothing()),
    }
    return Shown("enrolments_users", said)


@page(f"POST {ONE}/confirm", needs=courses.set_method, section="enrolments")
def confirm(visit: Visit) -> Shown:
    """Say what would come of new rules or of a request, before it is done (R16)."""
    course = visit.ask(courses.show, OneCourse(visit.path["course"]))
    if visit.said("how") == "method":
        rules = _rules(visit)
        if (course.method, course.segments) == (rules.method, sorted(rules.segments)):
            raise UserError(visit.reader.words.gettext("Nothing was changed: choose another method or other segments."))
        return confirm_rules(visit, course, rules, _back(visit))
    asked, these = _request(visit)
    tab = None if asked.tab is None else EnrolmentTab(asked.tab)
    change = CourseChange(course.course, None, None, asked.learners, tab, asked.segment, asked.cycle, asked.notify)
    fields = [(name, visit.said(name)) for name in ("how", "tab", "segment", "cycle", "notify")]
    return _confirm(visit, course, change, fields + (these.fields if these else []), _back(visit))


def confirm_rules(visit: Visit, course: CourseDetails, rules: CourseMethod, back: str) -> Shown:
    """Say what would come of new rules, and let them be confirmed."""
    change = CourseChange(course.course, EnrolmentMethod(rules.method), rules.segments)
    fields = [("method", rules.method), *(("segment", one) for one in rules.segments), ("tag", tag_of(course))]
    return _confirm(visit, course, change, fields, back)


def _confirm(
    visit: Visit, course: CourseDetails, change: CourseChange, fields: list[tuple[str, str]], back: str
) -> Shown:
    preview = visit.ask(course_previews.preview, change)
    said = {"course": course, "change": change, "preview": preview, "tab": visit.said("tab")}
    return Shown("enrolments_confirm", {**said, "fields": fields, "back": back})


@page(f"POST {ONE}/method", needs=courses.set_method, section="enrolments")
def set_method(visit: Visit) -> Gone:
    """Change whom a course enrols by rule (R7, R10)."""
    before = visit.ask(courses.show, OneCourse(visit.path["course"]))
    found = visit.ask(courses.set_method, _rules(visit), expected=visit.said("tag") or None)
    gettext = visit.reader.words.gettext
    says = {
        "everyone": gettext("The course enrols everyone from now on."),
        "segments": gettext("The course enrols the members of its segments from now on."),
        "manual": gettext("The course enrols nobody by rule from now on."),
    }[visit.said("method")]
    return _gone(visit, found, says, _method_back(visit, before))


@page(f"POST {ONE}/enrol", needs=enrolments.request, section="enrolments")
def enrol(visit: Visit) -> Gone:
    """Enrol those who were ticked, or a segment (R8, R9, R11)."""
    asked, _ = _request(visit)
    found = visit.ask(enrolments.request, asked)
    return _gone(visit, found, "" if isinstance(found, Begun) else _counted(visit, found))


@page(f"POST {ONE}/withdraw/confirm", needs=enrolments.withdraw, section="enrolments")
def confirm_withdrawal(visit: Visit) -> Shown:
    """Say what would come of a withdrawal, before it is done."""
    course = visit.ask(courses.show, OneCourse(visit.path["course"]))
    these = _withdrawn(visit)
    said = {"course": course, "count": len(these.ids), "fields": these.fields, "cycle": visit.said("cycle")}
    return Shown("enrolments_withdraw", {**said, "back": _back(visit)})


@page(f"POST {ONE}/withdraw", needs=enrolments.withdraw, section="enrolments")
def withdraw(visit: Visit) -> Gone:
    """Withdraw learners by name (R10, S4)."""
    these, course = _withdrawn(visit), visit.path["course"]
    cycle = _cycle(visit) if visit.said("cycle") else None
    visit.ask(enrolments.withdraw, WithdrawalAsked(course, these.ids, cycle))
    says = visit.reader.ngettext("{number} user is withdrawn.", "{number} users are withdrawn.", len(these.ids))
    fields = [("how", "learners"), ("tab", "all"), ("notify", ""), ("cycle", str(cycle or 1)), ("back", _back(visit))]
    undo = Undo(visit.url("courses", course, "enrol"), [*fields, *(("learner", one) for one in these.ids)])
    return Gone(_back(visit), says, None if these.every else undo)


def _number(visit: Visit) -> int:
    said = visit.path["fanout"]
    if not said.isdecimal() or len(said) > 18:
        raise Invalid("The address is of no enrolling of many.")
    return int(said)


def _cycle(visit: Visit) -> int:
    said = visit.said("cycle", "1")
    if not said.isdecimal() or len(said) > 9 or not int(said):
        raise UserError(visit.reader.words.gettext("The cycle is not a number from 1 on: go back, and correct it."))
    return int(said)


def _rules(visit: Visit) -> CourseMethod:
    """Whom a form says that a course is to enrol."""
    gettext, method = visit.reader.words.gettext, visit.said("method")
    if method not in set(EnrolmentMethod):
        raise UserError(gettext("No method was chosen: go back, and choose one."))
    named = visit.all_said("segment") if method == "segments" else []
    if method == "segments" and not named:
        raise UserError(gettext("No segment was chosen: go back, and choose one at least."))
    return CourseMethod(visit.path["course"], cast("Literal['manual', 'everyone', 'segments']", method), named)


def _request(visit: Visit) -> tuple[EnrolmentsAsked, ChosenIds | None]:
    """Whom a form says to enrol."""
    course, cycle, notify = visit.path["course"], _cycle(visit), bool(visit.said("notify"))
    if visit.said("how") == "segment":
        segment = visit.said("segment")
        if not segment:
            raise UserError(visit.reader.words.gettext("No segment was chosen: go back, and choose one."))
        return EnrolmentsAsked(course, segment=segment, cycle=cycle, notify=notify), None
    these = chosen(visit, learners.list_)
    tab: Literal["active", "all"] = "active" if visit.said("tab", "active") == "active" else "all"
    return EnrolmentsAsked(course, these.ids, tab, None, cycle, notify), these


def _withdrawn(visit: Visit) -> ChosenIds:
    return chosen(visit, enrolments.roster, course=visit.path["course"], state="enrolled")


def _back(visit: Visit) -> str:
    """The page of a course, a learner or a segment that somebody came from."""
    own = visit.url("courses", visit.path["course"])
    return visit.back(own, f"{own}?", f"{own}/", visit.url("learners", ""), visit.url("segments", ""))


def _gone(
    visit: Visit, found: CourseDetails | EnrolmentCounts | Begun[Any], says: str, undo: Undo | None = None
) -> Gone:
    """Where to go after an act: to the page that shows how far it is, if it takes long."""
    if isinstance(found, Begun):
        return Gone(visit.url(*found.location.split("/")), says, undo)
    return Gone(visit.url("courses", visit.path["course"]), says, undo)


def _method_back(visit: Visit, before: CourseDetails) -> Undo | None:
    """The form that gives a course the method that it had: at once if that enrols nobody, and so sends no mail; else by
    the page that says whom it would enrol."""
    fields = [("how", "method"), ("method", before.method), *(("segment", one) for one in before.segments)]
    to = "method" if before.method == "manual" else "confirm"
    return Undo(visit.url("courses", before.course, to), fields)


def _counted(visit: Visit, found: EnrolmentCounts) -> str:
    """What came of a request, in one line that adds up (R14)."""
    gettext, number = visit.reader.words.gettext, visit.reader.number
    parts: Mapping[str, int] = {
        gettext("{n} enrolled"): found.enrolled,
        gettext("{n} enrolled silently, as they are inactive"): found.silent,
        gettext("{n} enrolled already"): found.already,
        gettext("{n} not enrolled"): sum(found.not_eligible.values()),
    }
    said = [text.format(n=number(n)) for text, n in parts.items() if n]
    return f"{', '.join(said)}." if said else gettext("Nobody was enrolled.")
