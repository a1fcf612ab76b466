"""Segments: what they are called, who is in them, and which courses enrol their members."""

from typing import Any

from config.errors import Conflict, NotFound, UserError
from tasks.acts import Nothing, courses, learner_previews, learners, segments
from tasks.acts.courses import CourseMethod, CoursesAsked, OneCourse
from tasks.acts.paging import Begun, Stream
from tasks.acts.segments import Members, MembersNamed, NamedSegment, OneSegment
from tasks.learners import MemberCounts
from workers.web.console.choosing import ChosenIds, chosen
from workers.web.console.enrolments import confirm_rules
from workers.web.console.exporting import exported
from workers.web.console.lists import listing
from workers.web.console.visits import SECTIONS, Gone, Section, Shown, Undo, Visit, page

#: Courses that are shown of a segment, or offered to be linked to it.
OFFERED = 200

SECTIONS.append(Section("segments", "Segments", segments.list_))


@page("GET organisations/{organisation}/segments", needs=segments.list_, section="segments")
def list_segments(visit: Visit) -> Shown:
    """The segments, and a form for a new one."""
    return Shown("segments", {"listing": listing(visit, segments.list_), "may_change": visit.may("segments.save")})


@page("GET organisations/{organisation}/segments/export", needs=segments.list_, exports=True)
def export_segments(visit: Visit) -> Stream:
    """The segments, as a file."""
    return exported(visit, "segments", segments.list_)


@page("POST organisations/{organisation}/segments", needs=segments.save, section="segments")
def add(visit: Visit) -> Gone:
    """Make a segment."""
    gettext, id_ = visit.reader.words.gettext, visit.said("segment").strip()
    name = visit.said("name").strip()
    if not id_ or not name:
        raise UserError(gettext("A segment has an id and a name: go back, and fill in both."))
    try:
        visit.ask(segments.show, OneSegment(id_))
    except NotFound:
        visit.ask(segments.save, NamedSegment(id_, name))
        return Gone(visit.url("segments", id_), gettext("The segment is saved."))
    raise Conflict(gettext("There is a segment with this id already: go back, and choose another."))


def _standing(visit: Visit) -> MemberCounts:
    return visit.once(segments.counts, OneSegment(visit.path["segment"]))


@page("GET organisations/{organisation}/segments/{segment}", needs=segments.show, section="segments", live=_standing)
@page("POST organisations/{organisation}/segments/{segment}", needs=segments.show, section="segments")
def show_segment(visit: Visit) -> Shown:
    """A segment: its members, the inactive ones as such (R9), and the courses that are linked to it."""
    segment = visit.ask(segments.show, OneSegment(visit.path["segment"]))
    linked = visit.ask(courses.list_, CoursesAsked(segment=segment.segment, limit=OFFERED))
    may_link = visit.may("courses.method")
    said = {
        "segment": segment,
        "counts": _standing(visit),
        "linked": linked.items,
        "more_linked": linked.next is not None,
        "courses": visit.ask(courses.list_, CoursesAsked(limit=OFFERED)).items if may_link else [],
        "listing": listing(visit, learners.list_, segment=segment.segment, tab=visit.said("tab", "all")),
        "may_change": visit.may("segments.save", "segments.join", "segments.leave"),
        "may_link": may_link,
    }
    return Shown("segments_one", said)


@page("POST organisations/{organisation}/segments/{segment}/name", needs=segments.save, section="segments")
def rename(visit: Visit) -> Gone:
    """Name a segment."""
    gettext, name = visit.reader.words.gettext, visit.said("name").strip()
    if not name:
        raise UserError(gettext("A segment has a name: go back, and fill it in."))
    before = visit.ask(segments.show, OneSegment(visit.path["segment"]))
    visit.ask(segments.save, NamedSegment(before.segment, name))
    here = visit.url("segments", before.segment)
    undo = Undo(visit.url("segments", before.segment, "name"), [("name", before.name)])
    return Gone(here, gettext("The segment is saved."), undo if before.name != name else None)


@page("POST organisations/{organisation}/segments/{segment}/link", needs=courses.set_method, section="segments")
def link(visit: Visit) -> Shown:
    """Say what would come of linking a course to a segment: its members are enrolled by rule."""
    here, id_ = visit.path["segment"], visit.said("course")
    if not id_:
        raise UserError(visit.reader.words.gettext("No course was chosen: go back, and choose one."))
    visit.ask(segments.show, OneSegment(here))
    course = visit.ask(courses.show, OneCourse(id_))
    rules = CourseMethod(course.course, "segments", sorted({*course.segments, here}))
    return confirm_rules(visit, course, rules, visit.url("segments", here))


@page("GET organisations/{organisation}/segments/{segment}/users", needs=segments.join, section="segments")
@page("POST organisations/{organisation}/segments/{segment}/users", needs=segments.join, section="segments")
def choose_members(visit: Visit) -> Shown:
    """Users to tick, who are to join."""
    said = {
        "segment": visit.ask(segments.show, OneSegment(visit.path["segment"])),
        "listing": listing(visit, learners.list_),
        "counts": visit.ask(learner_previews.counts, Nothing()),
    }
    return Shown("segments_users", said)


@page("GET organisations/{organisation}/segments/{segment}/export", needs=learners.list_, exports=True)
def export_members(visit: Visit) -> Stream:
    """The members, as a file."""
    return exported(visit, "members", learners.list_, segment=visit.path["segment"], tab=visit.said("tab", "all"))


@page("POST organisations/{organisation}/segments/{segment}/join", needs=segments.join, section="segments")
def join(visit: Visit) -> Shown | Gone:
    """Let those who were ticked join, once it was said what follows."""
    return _move(visit, chosen(visit, learners.list_), joins=True)


@page("POST organisations/{organisation}/segments/{segment}/leave", needs=segments.leave, section="segments")
def leave(visit: Visit) -> Shown | Gone:
    """Let those who were ticked leave, once it was said what follows."""
    here = visit.path["segment"]
    these = chosen(visit, learners.list_, segment=here, tab=visit.said("tab", "all"))
    return _move(visit, these, joins=False)


def _move(visit: Visit, these: ChosenIds, *, joins: bool) -> Shown | Gone:
    id_ = visit.path["segment"]
    here, ngettext = visit.url("segments", id_), visit.reader.ngettext
    linked = visit.ask(courses.list_, CoursesAsked(segment=id_, limit=OFFERED)).items
    enrolling = [one for one in linked if one.method == "segments"]
    if not visit.said("confirmed"):
        segment = visit.ask(segments.show, OneSegment(id_))
        said = {"segment": segment, "joins": joins, "count": len(these.ids), "fields": these.fields}
        return Shown("segments_move", {**said, "linked": enrolling, "back": visit.back(here, f"{here}?", f"{here}/")})
    act = segments.join if joins else segments.leave
    found: Members | Begun[Any] = visit.ask(act, MembersNamed(id_, these.ids))
    if isinstance(found, Begun):
        return Gone(visit.url(*found.location.split("/")))
    if joins:
        says = ngettext("{number} user joined the segment.", "{number} users joined the segment.", found.changed)
    else:
        says = ngettext("{number} user left the segment.", "{number} users left the segment.", found.changed)
    return Gone(here, says, _undo(visit, these, found, joins=joins, enrols=bool(enrolling)))


def _undo(visit: Visit, these: ChosenIds, done: Members, *, joins: bool, enrols: bool) -> Undo | None:
    """The form that does the reverse, if that is for exactly those, and enrols nobody anew, who would be told."""
    if done.changed != len(these.ids) or (enrols and not joins):
        return None
    to = visit.url("segments", done.segment, "leave" if joins else "join")
    return Undo(to, [("confirmed", "yes"), *(("learner", one) for one in these.ids)])
