"""Announcements: the list, one as it stands, its recipients, and what may be done once it was launched."""

from datetime import datetime, timedelta

from config import clock
from config.errors import Invalid, UserError
from tasks.acts import announcements, launching
from tasks.acts.announcements import OneAnnouncement, RecipientsExport, RecipientsPage, WholeAnnouncement
from tasks.acts.launching import Retry, Settling
from tasks.acts.paging import Stream
from tasks.announcements import pace
from workers.web.console.lists import ListedPage, listing
from workers.web.console.progress import HowFar
from workers.web.console.visits import SECTIONS, Gone, Section, Shown, Visit, page, without_command

#: How a mail can be looked at.
VIEWS = ("desktop", "phone", "text", "dark")

#: Recipients that are settled by their ticks at once.
MOST = 1000

#: Who moves an announcement how, by the name of the button.
MOVES = {
    "pause": launching.pause,
    "resume": launching.resume,
    "cancel": launching.cancel,
    "unschedule": launching.unschedule,
}

#: The path of one of them.
ONE = "organisations/{organisation}/announcements/{announcement}"

SECTIONS.append(Section("announcements", "Announcements", announcements.list_))


@page("GET organisations/{organisation}/announcements", needs=announcements.list_, section="announcements")
def list_announcements(visit: Visit) -> Shown:
    """The list, newest first."""
    return Shown("announcements", {"listing": listing(visit, announcements.list_)})


def _state(visit: Visit) -> WholeAnnouncement:
    return visit.once(announcements.show, OneAnnouncement(visit.path["announcement"]))


@page(f"GET {ONE}", needs=announcements.show, section="announcements", live=_state)
def one(visit: Visit) -> Shown:
    """One announcement: how it stands, what it says, and what may be done with it."""
    found = _state(visit)
    why = without_command(found.why or "")
    said = {
        "why": why,
        "all_paused": why != (found.why or ""),
        "it": found,
        "progress": _progress(found, clock.now()),
        "views": VIEWS,
    }
    return Shown("announcement", said, frames=True)


def _progress(found: WholeAnnouncement, now: datetime) -> HowFar:
    """How far it is, and how fast it goes while it is being sent."""
    done, total = found.selected - found.pending, found.selected
    rate = pace(found.history, found.accepted + found.failed + found.uncertain, now)
    if rate is None or found.state != "sending" or not found.pending:
        return HowFar(done, total)
    return HowFar(done, total, round(rate, 1), timedelta(seconds=found.pending / rate))


@page(f"POST {ONE}/move", needs=launching.pause, section="announcements")
def move(visit: Visit) -> Gone:
    """Pause it, go on with it, cancel it, or make it a draft again."""
    wanted = visit.said("move")
    if wanted not in MOVES:
        raise Invalid("It is not said what is to be done with it: go back, and press a button.")
    visit.ask(MOVES[wanted], OneAnnouncement(visit.path["announcement"]))
    words = visit.reader.words
    said = {
        "pause": words.gettext("It is paused: what is under way is finished, and no further mail begins."),
        "resume": words.gettext("It goes on."),
        "cancel": words.gettext("It is cancelled: no further mail begins."),
        "unschedule": words.gettext("It is a draft again, and will not go by itself."),
    }
    return Gone(page_of(visit), said[wanted])


@page(f"POST {ONE}/retry", needs=launching.retry, section="announcements")
def retry(visit: Visit) -> Gone:
    """Send it again to those who failed."""
    done = visit.ask(launching.retry, Retry(visit.path["announcement"]))
    ngettext = visit.reader.ngettext
    text = ngettext("{number} mail is sent again.", "{number} mails are sent again.", done.pending)
    if held := sum(done.held_back.values()):
        more = ngettext(
            "{number} stays failed: no mail may go to them now.",
            "{number} stay failed: no mail may go to them now.",
            held,
        )
        text = f"{text} {more}"
    return Gone(page_of(visit), text)


@page(f"POST {ONE}/settle", needs=launching.settle, section="announcements")
def settle(visit: Visit) -> Gone:
    """Say of the uncertain whether they got it."""
    words, outcome, why = visit.reader.words, visit.said("outcome"), visit.said("why").strip()
    chosen = visit.all_said("learner")
    if outcome not in {"sent", "not-sent"}:
        raise UserError(words.gettext("Say whether it was sent: go back, and choose."))
    if not why:
        raise UserError(words.gettext("Say how you know: go back, and write it down."))
    if not chosen and visit.said("all") != "yes":
        raise UserError(words.gettext("Nobody is ticked: go back, tick somebody, and press the button."))
    learners = None if visit.said("all") == "yes" else chosen[:MOST]
    done = visit.ask(launching.settle, Settling(visit.path["announcement"], outcome == "sent", why[:1000], learners))
    ngettext = visit.reader.ngettext
    if outcome == "sent":
        said = ngettext("{number} counts as sent now.", "{number} count as sent now.", done.settled)
    else:
        said = ngettext(
            "{number} counts as failed now, and can be tried again.",
            "{number} count as failed now, and can be tried again.",
            done.settled,
        )
    return Gone(page_of(visit), said)


def page_of(visit: Visit) -> str:
    """The page of the announcement that a visit is about."""
    return visit.url("announcements", visit.path["announcement"])


@page(f"GET {ONE}/recipients", needs=announcements.recipients, section="announcements")
def recipients(visit: Visit) -> Shown:
    """The recipients, as they stand, with each attempt."""
    id_ = visit.path["announcement"]
    it = visit.ask(announcements.show, OneAnnouncement(id_))
    if it.recipients_kept:
        listed = listing(visit, announcements.recipients, announcement=id_)
    else:
        listed = ListedPage(visit.read(RecipientsPage, announcement=id_), [], None, None, [])
    counts = {
        "pending": it.pending, "accepted": it.accepted, "failed": it.failed, "uncertain": it.uncertain,
        "skipped": sum(it.skipped.values()), "cancelled": it.cancelled,
    }  # fmt: skip
    settles = (
        it.state in {"finished", "finished with failures", "cancelled"}
        and it.uncertain > 0
        and it.recipients_kept
        and listed.asked.state == "uncertain"
        and visit.may("announcements.settle")
    )
    return Shown("recipients", {"it": it, "listing": listed, "counts": counts, "settles": settles})


@page(f"GET {ONE}/recipients/export", needs=announcements.export, exports=True)
def export(visit: Visit) -> Stream:
    """The recipients who stand so, or for this reason, as a file."""
    asked = visit.read(RecipientsExport, announcement=visit.path["announcement"])
    return visit.ask(announcements.export, asked)
