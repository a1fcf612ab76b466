"""Writing an announcement: the editor, what it looks like to a learner, and drafts that two people change."""

import difflib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET

from config.errors import Conflict, Invalid, NotFound
from tasks import mail
from tasks.acts import announcements, drafts, previews, segments
from tasks.acts.announcements import OneAnnouncement, WholeAnnouncement
from tasks.acts.drafts import DraftChange, NewDraft, Policy
from tasks.acts.paging import PageAsked
from tasks.announcements import SeenLetter
from tasks.events import Audience
from workers.web.console.announcements import ONE, VIEWS
from workers.web.console.languages import zones
from workers.web.console.visits import Framed, Gone, Shown, Visit, page

#: Learners of an organisation up to which everybody is counted while one writes; of a larger one if it is asked for.
COUNTED = 20_000

#: Segments to tick.
TICKED = 1000

#: Lines of two versions up to which they are compared, and of the comparison that are shown.
COMPARED, SHOWN_LINES = 2000, 200

#: The parts of a draft of which each is compared by itself, and the fields of the form that belong to each.
PARTS = {
    "subject": ("subject",),
    "body": ("body",),
    "audience": ("to", "segments", "named"),
    "time": ("later", "send_at", "time_zone"),
    "policy": ("policy",),
}

_BY_NIGHT = re.compile(r"\(prefers-color-scheme: ?dark\)")
_SCHEME = '<meta name="color-scheme" content="light dark"'
_LINK = re.compile(r'<a href="([^"]*)"')


@dataclass(frozen=True, slots=True)
class DraftForm:
    """What stands in the form. `later`: whether it has a time; `named`: ids, one on a line."""

    subject: str = ""
    body: str = ""
    to: str = "everyone"
    segments: tuple[str, ...] = ()
    named: str = ""
    later: bool = False
    send_at: str = ""
    time_zone: str = ""
    policy: str = "hold"

    @property
    def audience(self) -> Audience:
        """Whom it is for."""
        if self.to == "segments":
            return Audience(segments=list(self.segments))
        if self.to == "learners":
            return Audience(
                learners=list(dict.fromkeys(one for line in self.named.splitlines() if (one := line.strip())))
            )
        return Audience(everyone=True)

    @property
    def time(self) -> tuple[str | None, str | None]:
        """When it is to go, and in which zone; None: when it is launched."""
        return (self.send_at or "?", self.time_zone) if self.later else (None, None)

    def parts(self) -> dict[str, str]:
        """What each part says, in a form that tells it from any other."""
        audience = self.audience
        if audience.segments is not UNSET:
            audience = Audience(segments=sorted(audience.segments))
        time = f"{self.send_at} {self.time_zone}" if self.later else ""
        said = msgspec.json.encode(audience).decode()
        return dict(zip(PARTS, (self.subject, self.body, said, time, self.policy), strict=True))

    def marks(self) -> str:
        """The same, short, to be told by a form from what it was opened with."""
        return ".".join(hashlib.sha256(one.encode(errors="replace")).hexdigest()[:12] for one in self.parts().values())


def _sent(visit: Visit) -> DraftForm:
    """What the form says."""
    to, policy = visit.said("to"), visit.said("policy", "hold")
    return DraftForm(
        visit.said("subject"),
        visit.said("body").replace("\r\n", "\n"),
        to if to in {"segments", "learners"} else "everyone",
        tuple(visit.all_said("segment")),
        visit.said("named").replace("\r\n", "\n"),
        visit.said("when") == "later",
        visit.said("send_at"),
        visit.said("time_zone"),
        policy if policy in {*Policy} else "hold",
    )


def _stored(found: WholeAnnouncement) -> DraftForm:
    """What a draft says."""
    audience, zone = found.audience, found.time_zone or "UTC"
    at = found.send_at.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M") if found.send_at else ""
    chosen = () if audience.segments is UNSET else tuple(audience.segments)
    named = "" if audience.learners is UNSET else "\n".join(audience.learners)
    to = "segments" if audience.segments is not UNSET else "learners" if audience.learners is not UNSET else "everyone"
    return DraftForm(found.subject, found.body, to, chosen, named, bool(at), at, zone if at else "", found.policy)


@page("GET organisations/{organisation}/drafts/new", needs=drafts.create, section="announcements")
def new(visit: Visit) -> Shown:
    """An empty draft, or what another announcement says."""
    copied = visit.said("copy")
    writing = DraftForm()
    if copied:
        found = visit.ask(announcements.show, OneAnnouncement(copied))
        writing = replace(_stored(found), later=False, send_at="", time_zone="")
    return _editor(visit, writing)


@page("POST organisations/{organisation}/drafts/new", needs=drafts.create, section="announcements")
def create(visit: Visit) -> Shown | Gone:
    """Keep a new draft."""
    writing = _sent(visit)
    policy = Policy(writing.policy)
    try:
        asked = NewDraft(writing.subject, writing.body, writing.audience, None, *writing.time, policy)
        made = visit.ask(drafts.create, asked)
    except Invalid as problem:
        return _refused(visit, writing, problem)
    return _saved(visit, made.announcement)


@page(f"GET {ONE}/edit", needs=drafts.edit, section="announcements")
def edit(visit: Visit) -> Shown:
    """A draft, to be changed."""
    found = _draft(visit)
    return _editor(visit, _stored(found), found)


@page(f"POST {ONE}/edit", needs=drafts.edit, section="announcements")
def save(visit: Visit) -> Shown | Gone:
    """Keep what was changed, unless somebody else was faster."""
    id_, writing = visit.path["announcement"], _sent(visit)
    found = _draft(visit)
    if visit.said("version") != found.version:
        return _overtaken(visit, writing, found)
    before = _stored(found)
    same_time = (before.later, before.send_at, before.time_zone) == (writing.later, writing.send_at, writing.time_zone)
    change = DraftChange(
        id_, writing.subject, writing.body, writing.audience, *writing.time, Policy(writing.policy), found.version
    )
    if same_time or not (before.later or writing.later):
        change = replace(change, send_at=UNSET, time_zone=UNSET)
    try:
        visit.ask(drafts.edit, change)
    except Invalid as problem:
        return _refused(visit, writing, problem, found)
    except Conflict:
        return _overtaken(visit, writing, visit.ask(announcements.show, OneAnnouncement(id_)))
    return _saved(visit, id_)


def _draft(visit: Visit) -> WholeAnnouncement:
    """The draft that is to be changed. Raises `Conflict` if it is none any more."""
    found = visit.ask(announcements.show, OneAnnouncement(visit.path["announcement"]))
    if found.state != "draft":
        raise Conflict(visit.reader.words.gettext("It is no draft any more: copy it, and change the copy."))
    return found


def _saved(visit: Visit, announcement: str) -> Gone:
    """Where somebody wanted to go with it."""
    then = visit.said("then")
    to = visit.url("announcements", announcement, *(["launch"] if then == "launch" else []))
    return Gone(f"{to}#test" if then == "test" else to, visit.reader.words.gettext("The draft is kept."))


@page("POST organisations/{organisation}/drafts/see", needs=drafts.create, section="announcements")
def see(visit: Visit) -> Shown:
    """The editor again, as it was sent, with its mistakes and counts: a button if no script asks for it by itself."""
    found = None
    if announcement := visit.said("announcement"):
        found = visit.ask(announcements.show, OneAnnouncement(announcement))
    return _editor(visit, _sent(visit), found, sent=True)


@page("POST organisations/{organisation}/drafts/frame", needs=previews.see, section="announcements")
def frame_written(visit: Visit) -> Framed:
    """What a learner would read of what is being written."""
    return _frame(visit, _sent(visit))


@page(f"GET {ONE}/frame", needs=previews.see, section="announcements")
def frame_stored(visit: Visit) -> Framed:
    """What a learner reads of an announcement."""
    return _frame(visit, _stored(visit.ask(announcements.show, OneAnnouncement(visit.path["announcement"]))))


def _frame(visit: Visit, writing: DraftForm) -> Framed:
    words = visit.reader.words
    view = visit.said("view")
    try:
        seen = _seen(visit, writing, visit.said("reader"), count=False)
    except NotFound as problem:
        return Framed(_plain(visit.reader.translated(str(problem))))
    if seen.faults:
        said = "\n".join([words.gettext("There is a mistake in it:"), *(one.says for one in seen.faults)])
        return Framed(_plain(said))
    if seen.mail is None:
        return Framed(_plain(words.gettext("This user has no address that mail can be sent to.")))
    if view == "text":
        return Framed(_plain(seen.mail.text))
    scheme = "dark" if view == "dark" else "light"
    html = _BY_NIGHT.sub("all" if scheme == "dark" else "not all", seen.mail.html, count=1)
    html = html.replace(_SCHEME, f'{_SCHEME[: _SCHEME.rindex("=")]}="{scheme}"', 1)
    # Links show where they lead and lead nowhere: nobody is to leave the page, or to act for a learner, by a preview.
    html = _LINK.sub(r'<a title="\1"', html).replace("</head>", "<style>a{text-decoration:underline}</style></head>", 1)
    return Framed(html)


def _plain(text: str) -> str:
    """A text as a program without HTML shows it."""
    style = "margin:1rem;white-space:pre-wrap;overflow-wrap:anywhere;font:1rem/1.5 ui-monospace,monospace"
    head = '<meta charset="utf-8"><meta name="color-scheme" content="light"><title>-</title>'
    body = f'<body><pre style="{style}">{escape(text)}</pre></body>'
    return f'<!doctype html><html lang="und"><head>{head}</head>{body}</html>'


def _seen(visit: Visit, writing: DraftForm, reader: str, *, count: bool) -> SeenLetter:
    """What this learner would read, or nobody in particular; its mistakes in the language of whoever writes."""
    asked = previews.Writing(writing.subject, writing.body, writing.audience, reader.strip() or None, count)
    seen = visit.ask(previews.see, asked)
    return replace(seen, faults=[replace(one, says=visit.reader.translated(one.says)) for one in seen.faults])


def _editor(
    visit: Visit, writing: DraftForm, found: WholeAnnouncement | None = None, *, sent: bool = False, status: int = 200,
    **more: object,
) -> Shown:  # fmt: skip
    """The editor. `found`: the draft that it changes; `sent`: whether something was sent already, so that it is said
    what is wrong with it."""
    assert visit.organisation is not None  # noqa: S101 - its path has one
    small = visit.organisation.learners <= COUNTED
    count = small or writing.to != "everyone" or bool(visit.said("count"))
    reader_unknown, seen = "", None
    if sent or found is not None:
        try:
            seen = _seen(visit, writing, visit.said("reader"), count=count)
        except NotFound as problem:
            reader_unknown = visit.reader.translated(str(problem))
            seen = _seen(visit, writing, "", count=count)
    known = visit.ask(segments.list_, PageAsked(limit=TICKED))
    listed = {one.segment for one in known.items}
    view = visit.said("view")
    said: dict[str, object] = {
        "writing": writing,
        "found": found,
        "was": (visit.said("was") if sent else "") or writing.marks(),
        "version": (visit.said("version") if sent else "") or (found.version if found else ""),
        "seen": seen,
        "reader_unknown": reader_unknown,
        "learner": visit.said("reader"),
        "segments": known.items,
        "unlisted": [one for one in writing.segments if one not in listed],
        "more_segments": known.next is not None,
        "fields": list(mail.MergeField),
        "views": VIEWS,
        "view": view if view in VIEWS else VIEWS[0],
        "zones": ["UTC", *zones()],
        "zone": writing.time_zone or visit.reader.zone or "UTC",
        "problems": {},
        "overtaken": None,
    }
    return Shown("writing", {**said, **more}, status, frames=True)


def _refused(visit: Visit, writing: DraftForm, problem: Invalid, found: WholeAnnouncement | None = None) -> Shown:
    """The editor, with what is wrong at each field."""
    problems = {one.pointer.split("/")[1]: visit.reader.translated(one.detail) for one in problem.errors}
    if "send_at" in problems and not visit.said("send_at"):
        problems["send_at"] = visit.reader.words.gettext("Choose a day and a time.")
    if "audience" in problems and visit.said("to") not in {"everyone", "segments", "learners"}:
        problems["audience"] = visit.reader.words.gettext("Choose who is to get it.")
    return _editor(visit, writing, found, sent=True, status=422, problems=problems)


def _overtaken(visit: Visit, mine: DraftForm, found: WholeAnnouncement) -> Shown:
    """The editor, after somebody else changed the draft: what only they changed is taken over; where both did, one's
    own is kept, and theirs is shown."""
    theirs = _stored(found)
    known = dict(zip(PARTS, visit.said("was").split("."), strict=False))
    marks = {
        name: dict(zip(PARTS, one.marks().split("."), strict=True)) for name, one in (("me", mine), ("they", theirs))
    }
    changed = [part for part in PARTS if marks["they"][part] != known.get(part)]
    both = [part for part in changed if marks["me"][part] not in {known.get(part), marks["they"][part]}]
    taken = [part for part in changed if part not in both]
    merged = replace(mine, **{name: getattr(theirs, name) for part in taken for name in PARTS[part]})
    last = next((one for one in reversed(found.history) if one.move == "edit"), None)
    said = {
        "by": last and last.by,
        "at": last and last.at,
        "changed": changed,
        "both": both,
        "theirs": theirs,
        "lines": _compared(theirs.body, mine.body) if "body" in both else [],
    }
    more: Mapping[str, object] = {"overtaken": said, "was": theirs.marks(), "version": found.version}
    return _editor(visit, merged, found, sent=True, status=409, **more)


def _compared(theirs: str, mine: str) -> list[str]:
    """Lines that differ, each behind `-` (theirs) or `+` (one's own)."""
    old, new_ = theirs.splitlines(), mine.splitlines()
    if len(old) + len(new_) > COMPARED:
        return []
    return list(difflib.unified_diff(old, new_, n=1, lineterm=""))[2 : SHOWN_LINES + 2]
