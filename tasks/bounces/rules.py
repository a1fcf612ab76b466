"""What decides about reports: what one means for the address it is about, and when an address is suppressed (R21)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from tasks.bounces.reader import BounceReport, Fate
from tasks.bounces.voices import ANSWERS, AUTOMATIC, LATE, OPENS, PASSING, REPORTER, REPORTS
from tasks.mail import ABOUT_US, STATUS, About, Stage, about, permanent


class BounceKind(StrEnum):
    """What came back for a delivery, the weakest first: where more than one thing did, the strongest holds."""

    BLOCKED = "blocked"
    SOFT = "soft"
    HARD = "hard"
    COMPLAINT = "complaint"


_STRENGTH = {kind: strength for strength, kind in enumerate(BounceKind)}


class Ignored(StrEnum):
    """Why a message that came has no effect."""

    NO_FAILURE = "no failure"
    AUTO_REPLY = "auto-reply"
    NO_REPORT = "no report"
    OTHER_FEEDBACK = "other feedback"
    UNMATCHED = "unmatched"
    KNOWN = "known already"


@dataclass(frozen=True, slots=True)
class Bounce:
    """What a report says of a delivery."""

    kind: BounceKind
    status: str | None = None
    diagnostic: str | None = None


#: Deliveries in a row that bounced softly, after which the address is suppressed.
SOFT_IN_A_ROW = 5

#: Characters of a diagnostic that are kept.
LONGEST_DIAGNOSTIC = 300

#: Feedback by which a person says that they do not want the mail (RFC 5965, the registry of feedback types).
COMPLAINTS = {"abuse", "fraud", "opt-out", "opt-out-list"}

#: A reply code in a text, with or without the enhanced one.
_CODE = re.compile(r"(?<![\w.:/#-])([45]\d\d)(?=[- :](?!\d\d)|\s*$)")
_ADDRESS = re.compile(r"(?<![^\s<>()\[\]\"',;:@])[^\s<>()\[\]\"',;:@]+@[^\s<>()\[\]\"',;:@]+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_PARAGRAPHS = re.compile(r"\n[ \t]*\n")


def judge(report: BounceReport, *, null_sender: bool) -> Bounce | Ignored:
    """What a message that came back means, whoever it is about. An answer that a machine gives for a person is never a
    bounce, whatever it quotes."""
    if report.feedback is not None:
        return Bounce(BounceKind.COMPLAINT) if report.feedback in COMPLAINTS else Ignored.OTHER_FEEDBACK
    if report.complains:
        return Bounce(BounceKind.COMPLAINT)
    subject = report.headers.get("subject", "")
    if report.receipt or _answers_for_a_person(report, subject):
        return Ignored.AUTO_REPLY
    if report.fates:
        return _of_fates(report)
    return _of_prose(report, subject, null_sender=null_sender)


def in_a_row(history: Iterable[BounceKind | None]) -> bool:
    """Whether soft bounces suppress an address: so many deliveries in a row bounced.

    `history` are the deliveries to it that its server has accepted or reported on, in the order of time; None is one
    that was accepted and did not bounce. A blocked one says nothing of the address, so it is passed over.
    """
    running = 0
    for kind in history:
        if kind in {BounceKind.SOFT, BounceKind.HARD}:
            running += 1
            if running == SOFT_IN_A_ROW:
                return True
        elif kind is not BounceKind.BLOCKED:
            running = 0
    return False


def _answers_for_a_person(report: BounceReport, subject: str) -> bool:
    submitted = report.headers.get("auto-submitted", "").lower()
    if "vacation" in submitted or (_marked(report) and not _is_by_a_mail_system(report)):
        return True
    return not report.fates and ANSWERS.match(subject) is not None


def _is_by_a_mail_system(report: BounceReport) -> bool:
    """Whether it is a report itself, and does not only quote or attach one."""
    if report.headers.get("content-type", "").lower().startswith("multipart/report"):
        return bool(report.fates)
    own = report.headers.keys() & {"x-failed-recipients", "x-ms-exchange-message-is-ndr"}
    return bool(own) or REPORTER.search(report.headers.get("from", "")) is not None


def _marked(report: BounceReport) -> bool:
    return (
        report.headers.get("auto-submitted", "").lower().startswith("auto-replied")
        or bool(report.headers.keys() & AUTOMATIC)
        or report.headers.get("precedence", "").lower() == "auto_reply"
    )


def _of_fates(report: BounceReport) -> Bounce | Ignored:
    """Where a mail went on to several, it failed if it failed for all of them; the mildest fate counts."""
    if not all(fate.action == "failed" if fate.action else fate.status.startswith("5") for fate in report.fates):
        return Ignored.NO_FAILURE
    return min((_of_fate(fate, report.prose) for fate in report.fates), key=lambda bounce: _STRENGTH[bounce.kind])


def _of_fate(fate: Fate, prose: str) -> Bounce:
    """What a status and the words of the server that refused mean together; what was written for people is asked where
    they say nothing."""
    named = STATUS.search(fate.status)
    said = STATUS.findall(fate.diagnostic)
    status = named[1] if named else None
    if said and (status is None or status.endswith(".0.0")):  # what the server that refused said is more exact
        status = said[0]
    code = _CODE.search(fate.diagnostic)
    number = int(code[1]) if code else None
    what = about(number, f"{fate.diagnostic} {fate.status}", stage=Stage.REPORT, status=status)
    if what is About.UNCLEAR and prose:
        what = _of_text(prose)[1]
    for_good = permanent(number, fate.diagnostic, status) and (status is None or status.startswith("5"))
    return Bounce(_kind(what, for_good=for_good), status, _anonymous(fate.diagnostic, fate.recipients) or None)


def _kind(what: About, *, for_good: bool) -> BounceKind:
    if what in ABOUT_US:
        return BounceKind.BLOCKED
    return BounceKind.HARD if what is About.MAILBOX and for_good else BounceKind.SOFT


def _of_prose(report: BounceReport, subject: str, *, null_sender: bool) -> Bounce | Ignored:
    """A bounce that a machine wrote for people: who wrote it, and how it begins, tell it from what people write."""
    writer = report.headers.get("from", "")
    voice = "x-failed-recipients" in report.headers or REPORTER.search(writer) or REPORTS.match(subject)
    if not null_sender or not (voice or OPENS.match(report.prose)):
        said_so = report.headers.get("auto-submitted", "no").lower() != "no"
        return Ignored.AUTO_REPLY if null_sender or said_so else Ignored.NO_REPORT
    if LATE.search(report.prose):
        return Ignored.NO_FAILURE
    code, what = _of_text(report.prose)
    statuses = STATUS.findall(report.prose)
    passing = code is None and not statuses and PASSING.search(report.prose)
    for_good = not passing and permanent(code, report.prose)
    return Bounce(_kind(what, for_good=for_good), statuses[0] if statuses else None)


def _of_text(prose: str) -> tuple[int | None, About]:
    """What a text for people says: the paragraphs that quote a server first, then all of it."""
    quoting = [part for part in _PARAGRAPHS.split(prose) if _CODE.search(part) or STATUS.search(part)]
    for text in (*quoting, prose):
        code = _CODE.search(text)
        number = int(code[1]) if code else None
        what = about(number, text, stage=Stage.REPORT)
        if what is not About.UNCLEAR:
            return number, what
    return None, About.UNCLEAR


def _anonymous(diagnostic: str, recipients: Iterable[str]) -> str:
    """What a server said, short, printable, and without anybody's address: mail may have been passed on to others."""
    text = _UNPRINTABLE.sub(" ", diagnostic)
    for local in sorted({address.rpartition("@")[0] for address in recipients}, key=len, reverse=True):
        if len(local) > 2:
            text = re.sub(re.escape(local), "…", text, flags=re.IGNORECASE)
    text = _ADDRESS.sub("…", text)[:LONGEST_DIAGNOSTIC].strip()
    return text.encode(errors="replace").decode()
