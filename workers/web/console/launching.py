"""An announcement's launch: a test to oneself, the confirmation that names the number, and what is deleted instead."""

from config import clock
from config.errors import Conflict, UserError
from tasks.acts import announcements, drafts, launching, previews
from tasks.acts.announcements import OneAnnouncement
from tasks.acts.drafts import DraftDeletion
from tasks.acts.launching import Launching
from tasks.acts.previews import PreviewOf, TrialOf
from workers.web.console.announcements import ONE, page_of
from workers.web.console.visits import Gone, Shown, Visit, page


@page(f"GET {ONE}/launch", needs=launching.launch, section="announcements")
def confirm(visit: Visit) -> Shown:
    """Say who will get it, and who not and why, before it is launched."""
    return _confirm(visit)


def _confirm(visit: Visit, problem: str = "", status: int = 200) -> Shown:
    it = visit.ask(announcements.show, OneAnnouncement(visit.path["announcement"]))
    if it.launched_at is not None or it.state not in {"draft", "scheduled", "late"}:
        raise Conflict(visit.reader.words.gettext("It was launched already, or cancelled."))
    seen = visit.ask(previews.preview, PreviewOf(it.announcement))
    ahead = it.state == "draft" and it.send_at is not None and it.send_at > clock.now()
    return Shown("launch", {"it": it, "seen": seen, "ahead": ahead, "problem": problem}, status)


@page(f"POST {ONE}/launch", needs=launching.launch, section="announcements")
def launch(visit: Visit) -> Shown | Gone:
    """Launch what was shown, to no more than were named."""
    words = visit.reader.words
    shown = visit.said("will_receive")
    if not shown.isascii() or not shown.isdigit() or len(shown) > 10:
        raise UserError(words.gettext("It is not said how many are to get it: go back, and look at it again."))
    now = visit.said("when") != "later"
    asked = Launching(
        visit.path["announcement"], now, visit.said("check") != "no", int(shown), visit.said("version") or None
    )
    try:
        done = visit.ask(launching.launch, asked)
    except Conflict as problem:
        try:
            return _confirm(visit, visit.reader.translated(str(problem)), 409)
        except Conflict:
            raise problem from None
    if done.state == "scheduled":
        said = words.gettext("It is scheduled: it goes at its time, to whoever is to get it then.")
    else:
        will = done.will_receive or 0
        said = visit.reader.ngettext("It is on its way to {number} user.", "It is on its way to {number} users.", will)
    return Gone(page_of(visit), said)


@page(f"POST {ONE}/test", needs=previews.test, section="announcements")
def test(visit: Visit) -> Gone:
    """Send it to one address, and say what the mail server answered."""
    words, to = visit.reader.words, visit.said("address").strip()
    if not to:
        raise UserError(words.gettext("Say to which address the test is to go: go back, and write it down."))
    reader = visit.said("reader").strip() or None
    sent = visit.ask(previews.test, TrialOf(visit.path["announcement"], to, reader))
    if sent.answer == "accepted":
        said = words.gettext("The test is on its way to {address}: the mail server took it.")
        return Gone(page_of(visit), said.format(address=sent.to))
    said = words.gettext("The test to {address} was not sent. The mail server said: {answer}")
    answer = " ".join(str(part) for part in (sent.answer, sent.code, sent.reply) if part)
    raise UserError(said.format(address=sent.to, answer=answer))


@page(f"POST {ONE}/delete", needs=drafts.delete, section="announcements")
def delete(visit: Visit) -> Gone:
    """Delete a draft, as it was shown."""
    visit.ask(drafts.delete, DraftDeletion(visit.path["announcement"], visit.said("version") or None))
    return Gone(visit.url("announcements"), visit.reader.words.gettext("The draft is deleted."))
