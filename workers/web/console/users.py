"""Users: the three tabs, one learner's card, and the switch between active and inactive."""

from typing import Any, Literal, cast

from config.errors import Conflict, Invalid, UserError
from tasks.acts import Nothing, learner_previews, learners
from tasks.acts.learners import LearnersAsked, LearnersStatus, LearnerToggle, OneLearner
from tasks.acts.paging import Page as Listed
from tasks.learners import LearnerSummary
from workers.web.console.visits import SECTIONS, Gone, Section, Shown, Visit, page

Wanted = Literal["active", "inactive"]

#: Learners on a page of the list.
SHOWN = 50

#: Pages of the act that are asked for at most to fill one of ours, if few learners fit what is searched for.
ASKED = 20

#: Learners that are changed at once at most.
MOST = 1000

#: Pages that one can go back by their links.
TRAIL = 20

SECTIONS.append(Section("users", "Users", learners.list_))


@page("GET organisations/{organisation}/users", needs=learners.list_, section="users")
@page("POST organisations/{organisation}/users", needs=learners.list_, section="users")
def list_users(visit: Visit) -> Shown:
    """The list. A form sends it what is ticked on other pages, if no script keeps that."""
    asked = visit.read(LearnersAsked, limit=SHOWN)
    listed = _filled(visit, asked)
    trail = [one for one in visit.said("trail").split(".") if one][-TRAIL:]
    here = [*trail, asked.after or "-"]
    kept = {"tab": asked.tab, "search": asked.search, "segment": asked.segment}
    before = None
    if asked.after is not None:
        last = trail[-1] if trail else "-"
        before = visit.url("users", **kept, after=None if last == "-" else last, trail=".".join(trail[:-1]))
    after = listed.next and visit.url("users", **kept, after=listed.next, trail=".".join(here))
    ticked = visit.all_said("learner")[:MOST]
    on_page = {one.learner for one in listed.items}
    return Shown(
        "users",
        {
            "asked": asked,
            "learners": listed.items,
            "counts": visit.ask(learner_previews.counts, Nothing()),
            "before": before,
            "after": after,
            "ticked": {*ticked} & on_page,
            "elsewhere": [one for one in ticked if one not in on_page],
            "may_change": visit.may("learners.status", "learners.preview"),
        },
    )


def _filled(visit: Visit, asked: LearnersAsked) -> Listed[LearnerSummary]:
    """A page as full as the list allows: the act may answer fewer, and say that there are more."""
    found: list[LearnerSummary] = []
    after = asked.after
    for _ in range(ASKED):
        more = visit.read(LearnersAsked, limit=SHOWN - len(found), **({} if after is None else {"after": after}))
        part = visit.ask(learners.list_, more)
        found += part.items
        after = part.next
        if after is None or len(found) == SHOWN:
            break
    return Listed(found, after)


@page("POST organisations/{organisation}/users/confirm", needs=learners.set_status, section="users")
def confirm(visit: Visit) -> Shown:
    """Say what would come of a change, before it is done."""
    asked = _change(visit)
    preview = visit.ask(learner_previews.preview, asked)
    return Shown("confirm", {"preview": preview, "learners": asked.learners, "back": _back(visit)})


@page("POST organisations/{organisation}/users/status", needs=learners.set_status, section="users")
def change(visit: Visit) -> Gone:
    """Make learners active or inactive."""
    asked = _change(visit)
    preview = visit.ask(learner_previews.preview, asked)
    done = sum(one.changed for one in visit.ask(learners.set_status, asked))
    return Gone(_back(visit), _said(visit, asked.status, done, preview.usernames))


@page("GET organisations/{organisation}/learners/{learner}", needs=learners.show, section="users")
def card(visit: Visit) -> Shown:
    """All that is known of a learner, active or not (R30)."""
    return _card(visit)


@page("POST organisations/{organisation}/learners/{learner}", needs=learners.set_status, section="users")
def switch(visit: Visit) -> Shown | Gone:
    """Do what the switch says, if the learner still is what the page showed."""
    learner = visit.path["learner"]
    wanted: Wanted = "active" if visit.said("active") else "inactive"
    if visit.said("was") == wanted:
        return _card(visit, visit.reader.words.gettext("Nothing was changed: move the switch first."), 422)
    preview = visit.ask(learner_previews.preview, LearnersStatus([learner], wanted))
    if not preview.changed:
        says = visit.reader.words.gettext("Somebody else was faster: the user has that status already.")
        return _card(visit, says, 409)
    try:
        act = learners.activate if wanted == "active" else learners.deactivate
        visit.ask(act, LearnerToggle(learner))
    except Conflict as problem:
        return _card(visit, str(problem), 409)
    return Gone(visit.url("learners", learner), _said(visit, wanted, 1, preview.usernames))


def _card(visit: Visit, problem: str = "", status: int = 200) -> Shown:
    learner = visit.path["learner"]
    found = visit.ask(learners.show, OneLearner(learner))
    said: dict[str, Any] = {"learner": found, "problem": problem, "preview": None}
    if visit.may("learners.activate", "learners.deactivate", "learners.preview"):
        other: Wanted = "inactive" if found.status == "active" else "active"
        said["preview"] = visit.ask(learner_previews.preview, LearnersStatus([learner], other))
    return Shown("card", said, status)


def _change(visit: Visit) -> LearnersStatus:
    wanted = visit.said("status")
    if wanted not in {"active", "inactive"}:
        raise Invalid("It is not said whether they are to be active or inactive: go back, and press a button.")
    ids = visit.all_said("learner")
    if not ids:
        raise UserError(visit.reader.words.gettext("Nobody is ticked: go back, tick somebody, and press the button."))
    if len(ids) > MOST:
        says = visit.reader.words.gettext("More than {number} are ticked: change them in several steps.")
        raise UserError(says.format(number=visit.reader.number(MOST)))
    return LearnersStatus(ids, cast("Wanted", wanted))


def _back(visit: Visit) -> str:
    """The list that somebody came from, if it is ours."""
    back, own = visit.said("back"), visit.url("users")
    return back if back == own or back.startswith(f"{own}?") else own


def _said(visit: Visit, status: str, done: int, usernames: int) -> str:
    words, number = visit.reader.words, visit.reader.number
    if status == "inactive":
        said = words.ngettext("{number} user is inactive now.", "{number} users are inactive now.", done)
        return said.format(number=number(done))
    said = words.ngettext("{number} user is active now.", "{number} users are active now.", done)
    said = said.format(number=number(done))
    if usernames:
        more = words.ngettext(
            "{number} signs in by username: set a temporary password and hand it over.",
            "{number} sign in by username: set temporary passwords and hand them over.",
            usernames,
        )
        said = f"{said} {more.format(number=number(usernames))}"
    return said
