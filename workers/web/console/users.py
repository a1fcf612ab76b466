"""Users: the three tabs, one learner's card, and the switch between active and inactive."""

from typing import Any, Literal, cast

from config.errors import Conflict, Invalid
from tasks.acts import Nothing, learner_previews, learners
from tasks.acts.learner_previews import StatusPreview
from tasks.acts.learners import LearnersStatus, LearnerToggle, OneLearner
from tasks.acts.paging import Stream
from tasks.learners import LearnerCounts
from workers.web.console.choosing import ChosenIds, chosen
from workers.web.console.exporting import exported
from workers.web.console.lists import listing
from workers.web.console.visits import SECTIONS, Gone, Section, Shown, Undo, Visit, page

Wanted = Literal["active", "inactive"]

SECTIONS.append(Section("users", "Users", learners.list_))


def _standings(visit: Visit) -> LearnerCounts:
    """What is another if learners come, go or change their status."""
    return visit.once(learner_previews.counts, Nothing())


@page("GET organisations/{organisation}/users", needs=learners.list_, section="users", live=_standings)
@page("POST organisations/{organisation}/users", needs=learners.list_, section="users")
def list_users(visit: Visit) -> Shown:
    """The list. A form sends it what is ticked on other pages, if no script keeps that."""
    said = {
        "listing": listing(visit, learners.list_),
        "counts": _standings(visit),
        "may_change": visit.may("learners.status", "learners.preview"),
    }
    return Shown("users", said)


@page("POST organisations/{organisation}/users/confirm", needs=learners.set_status, section="users")
def confirm(visit: Visit) -> Shown:
    """Say what would come of a change, before it is done."""
    status, these = _change(visit)
    preview = visit.ask(learner_previews.preview, LearnersStatus(these.ids, status))
    return Shown("confirm", {"preview": preview, "fields": these.fields, "every": these.every, "back": _back(visit)})


@page("POST organisations/{organisation}/users/status", needs=learners.set_status, section="users")
def change(visit: Visit) -> Gone:
    """Make learners active or inactive."""
    status, these = _change(visit)
    preview = visit.ask(learner_previews.preview, LearnersStatus(these.ids, status))
    done = [one.learner for one in visit.ask(learners.set_status, LearnersStatus(these.ids, status)) if one.changed]
    undo = _undo(visit, preview, done, _back(visit))
    return Gone(_back(visit), _said(visit, status, len(done), preview.usernames), undo)


@page("GET organisations/{organisation}/users/export", needs=learners.list_, exports=True)
def export(visit: Visit) -> Stream:
    """What the list finds, as a file."""
    return exported(visit, f"users-{visit.said('tab', 'active')}", learners.list_)


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
        return _card(visit, visit.reader.translated(str(problem)), 409)
    here = visit.url("learners", learner)
    return Gone(here, _said(visit, wanted, 1, preview.usernames), _undo(visit, preview, [learner], here))


def _undo(visit: Visit, preview: StatusPreview, changed: list[str], back: str) -> Undo | None:
    """The form that gives them the status that they had. If that would void passwords (R5) or send mail (R12), it is
    more than to undo: it is done by the switch, which says so."""
    org = visit.organisation
    to_active = preview.status == "inactive"
    if not changed or org is None or (to_active and (preview.usernames or org.reactivation_digest)):
        return None
    status = "active" if to_active else "inactive"
    return Undo(
        visit.url("users", "status"), [("status", status), ("back", back), *(("learner", one) for one in changed)]
    )


def _card(visit: Visit, problem: str = "", status: int = 200) -> Shown:
    learner = visit.path["learner"]
    found = visit.ask(learners.show, OneLearner(learner))
    said: dict[str, Any] = {"learner": found, "problem": problem, "preview": None}
    said["may_withdraw"] = visit.may("enrolments.withdraw")
    if visit.may("learners.activate", "learners.deactivate", "learners.preview"):
        other: Wanted = "inactive" if found.status == "active" else "active"
        said["preview"] = visit.ask(learner_previews.preview, LearnersStatus([learner], other))
    return Shown("card", said, status)


def _change(visit: Visit) -> tuple[Wanted, ChosenIds]:
    wanted = visit.said("status")
    if wanted not in {"active", "inactive"}:
        raise Invalid("It is not said whether they are to be active or inactive: go back, and press a button.")
    return cast("Wanted", wanted), chosen(visit, learners.list_)


def _back(visit: Visit) -> str:
    """The list or card that somebody came from."""
    own = visit.url("users")
    return visit.back(own, f"{own}?", visit.url("learners", ""))


def _said(visit: Visit, status: str, done: int, usernames: int) -> str:
    ngettext = visit.reader.ngettext
    if status == "inactive":
        return ngettext("{number} user is inactive now.", "{number} users are inactive now.", done)
    said = ngettext("{number} user is active now.", "{number} users are active now.", done)
    if usernames:
        more = ngettext(
            "{number} signs in by username: set a temporary password and hand it over. "
            "That is done in your learning platform.",
            "{number} sign in by username: set temporary passwords and hand them over. "
            "That is done in your learning platform.",
            usernames,
        )
        said = f"{said} {more}"
    return said
