"""What decides about reports: what one means for the address it is about, and when an address is suppressed (R21)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from tasks.bounces.reader import Fate, Report


class Kind(StrEnum):
    """What came back for a delivery, the weakest first: where more than one thing did, the strongest holds."""

    BLOCKED = "blocked"
    SOFT = "soft"
    HARD = "hard"
    COMPLAINT = "complaint"


_STRENGTH = {kind: strength for strength, kind in enumerate(Kind)}


class Ignored(StrEnum):
    """Why a message that came has no effect."""

    NO_FAILURE = "no failure"
    AUTO_REPLY = "auto-reply"
    NO_REPORT = "no report"
    OTHER_FEEDBACK = "other feedback"
    UNMATCHED = "unmatched"
    KNOWN = "known already"


class Suppressed(StrEnum):
    """Why an address gets no more mail."""

    REFUSED = "refused by its server"
    HARD = "hard bounce"
    SOFT = "five soft bounces"
    COMPLAINT = "complaint"
    BY_HAND = "by hand"


@dataclass(frozen=True, slots=True)
class Bounce:
    """What a report says of a delivery."""

    kind: Kind
    status: str | None = None
    diagnostic: str | None = None


#: Deliveries in a row that bounced softly, after which the address is suppressed.
SOFT_IN_A_ROW = 5

#: Characters of a diagnostic that are kept.
LONGEST_DIAGNOSTIC = 300

#: Status codes that say this mailbox is not there and will not be (RFC 3463; X.1.10: RFC 7505): no such mailbox, no
#: such domain, no such address, moved, takes no mail at all, disabled.
HARD = {"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"}

#: Status codes that are about the sender or the message, whoever the recipient is: a sender that is refused, a message
#: that is too big. So are all of X.5 (protocol), X.6 (content) and X.7 (policy: spam, block lists, authentication).
NOT_THE_ADDRESS = {"1.7", "1.8", "2.3", "3.4"}
NOT_THE_ADDRESS_SUBJECTS = {"5", "6", "7"}

#: Feedback by which a person says that they do not want the mail (RFC 5965, the registry of feedback types).
COMPLAINTS = {"abuse", "fraud", "opt-out", "opt-out-list"}

#: Fields by which a machine says that it answered, besides Auto-Submitted (RFC 3834).
AUTOMATIC = {"x-autoreply", "x-autorespond", "x-auto-response-suppress"}

#: Where an enhanced status code stands in a text; an IP address is none.
_STATUS = re.compile(r"(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?!\.?\d)")
#: A reply code with the enhanced one: what mail servers quote, and people on holiday do not.
_REPLY = re.compile(r"\b[45]\d\d[ -]#?([45]\.\d{1,3}\.\d{1,3})(?!\.?\d)")
_ADDRESS = re.compile(r"[^\s<>()\[\]\"',;:@]+@[^\s<>()\[\]\"',;:@]+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def judge(report: Report, *, null_sender: bool) -> Bounce | Ignored:
    """What a message that came back means, whoever it is about."""
    if report.feedback is not None:
        return Bounce(Kind.COMPLAINT) if report.feedback in COMPLAINTS else Ignored.OTHER_FEEDBACK
    if report.fates:
        return _of_fates(report.fates)
    return _of_prose(report, null_sender=null_sender)


def in_a_row(history: Iterable[Kind | None]) -> bool:
    """Whether soft bounces suppress an address: so many deliveries in a row bounced.

    `history` are the deliveries to it that its server has accepted or reported on, in the order of time; None is one
    that was accepted and did not bounce. A blocked one says nothing of the address, so it is passed over.
    """
    running = 0
    for kind in history:
        if kind in {Kind.SOFT, Kind.HARD}:
            running += 1
            if running == SOFT_IN_A_ROW:
                return True
        elif kind is not Kind.BLOCKED:
            running = 0
    return False


def _of_fates(fates: tuple[Fate, ...]) -> Bounce | Ignored:
    """Where a mail went on to several, it failed if it failed for all of them; the mildest fate counts."""
    if any((fate.action or _implied(fate.status)) != "failed" for fate in fates):
        return Ignored.NO_FAILURE
    return min((_of_fate(fate) for fate in fates), key=lambda bounce: _STRENGTH[bounce.kind])


def _implied(status: str) -> str:
    return "failed" if status.startswith("5") else "delayed"


def _of_fate(fate: Fate) -> Bounce:
    said = _STATUS.search(fate.status)
    status = said[1] if said else None
    if status is None or status.endswith(".0.0"):  # what the server that refused said is more exact
        quoted = _STATUS.search(fate.diagnostic)
        status = quoted[1] if quoted else status
    return Bounce(_kind(status), status, _anonymous(fate.diagnostic, fate.recipients) or None)


def _kind(status: str | None) -> Kind:
    if status is None:
        return Kind.SOFT
    if status in HARD:
        return Kind.HARD
    detail = status[2:]
    if detail in NOT_THE_ADDRESS or detail.partition(".")[0] in NOT_THE_ADDRESS_SUBJECTS:
        return Kind.BLOCKED
    return Kind.SOFT


def _of_prose(report: Report, *, null_sender: bool) -> Bounce | Ignored:
    """A bounce that a machine wrote for people: no more than a soft one, whatever it says."""
    quoted = _REPLY.search(report.prose)
    failed = null_sender and (quoted is not None or "x-failed-recipients" in report.headers)
    if not failed:
        said_so = report.headers.get("auto-submitted", "no").lower() != "no"
        automatic = null_sender or said_so or report.headers.keys() & AUTOMATIC
        return Ignored.AUTO_REPLY if automatic else Ignored.NO_REPORT
    status = quoted[1] if quoted else None
    return Bounce(min(_kind(status), Kind.SOFT, key=_STRENGTH.__getitem__), status)


def _anonymous(diagnostic: str, recipients: Iterable[str]) -> str:
    """What a server said, short, printable, and without anybody's address: mail may have been passed on to others."""
    text = _UNPRINTABLE.sub(" ", diagnostic)
    for local in sorted({address.rpartition("@")[0] for address in recipients}, key=len, reverse=True):
        if len(local) > 2:
            text = re.sub(re.escape(local), "…", text, flags=re.IGNORECASE)
    text = _ADDRESS.sub("…", text)[:LONGEST_DIAGNOSTIC].strip()
    return text.encode(errors="replace").decode()
