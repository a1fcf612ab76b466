"""What each step of an explanation means, and by which rule: the one table of words. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Reasoned:
    """What is said of a step, and the rules that it follows."""

    words: str
    rules: tuple[str, ...] = ()


#: Every step there is, by its code.
WHY = {
    # how the learner stands
    "became active": Reasoned("the learner became active: access to all that they are enrolled in", ("R1", "R4")),
    "became inactive": Reasoned(
        "the learner became inactive: no access, no mail; nothing is given back", ("R1", "R3", "R24")
    ),
    "unsubscribed": Reasoned("the learner asked for no announcements", ("R15",)),
    "suppressed": Reasoned("the learner's address was suppressed: it gets no more mail", ("R21",)),
    # enrolments
    "enrolled by request": Reasoned("an admin's request enrolled the learner", ("R8", "R11")),
    "enrolled by everyone": Reasoned("the course enrols everyone", ("R7",)),
    "enrolled by segments": Reasoned("the course enrols a segment that the learner is in", ("R9", "R10")),
    "enrolled silently by request": Reasoned(
        "an admin's request enrolled the learner, who was inactive: no notice, no access, no seat or credit",
        ("R8", "R1", "R23"),
    ),
    "enrolled silently by everyone": Reasoned(
        "the course enrols everyone, the inactive silently: no notice, no access, no seat or credit", ("R7", "R23")
    ),
    "enrolled silently by segments": Reasoned(
        "the course enrols a segment that the learner is in, the inactive silently: no notice, no access, no seat or"
        " credit",
        ("R9", "R10", "R23"),
    ),
    "stood before": Reasoned("the enrolment stood before, and was withdrawn", ("R10",)),
    "access opened": Reasoned("access opened later than the enrolment: the learner was inactive until then", ("R4",)),
    "withdrawn by name": Reasoned("an admin withdrew the learner by name", ("R10",)),
    "withdrawn by rule": Reasoned("no rule and no request holds the enrolment any longer", ("R10",)),
    "on hold": Reasoned("the course is on hold: nobody has access, and nobody is told of it", ("R3",)),
    "never enrolled": Reasoned("nothing enrolled the learner in this course", ("R3", "R10")),
    "has access": Reasoned("the learner is active, enrolled and not withdrawn, and the course is not on hold", ("R3",)),
    "completed": Reasoned("the course was completed", ()),
    # starts and what they cost
    "started": Reasoned("the course was started while the learner was active: it counts", ("R23", "R27")),
    "start released": Reasoned("a person said that this start counts", ("R27",)),
    "start waits": Reasoned("a start came and could not be taken yet", ("R27", "R6")),
    "start quarantined": Reasoned(
        "a start came that happened while the learner was inactive: neither charged nor lost", ("R27",)
    ),
    "charged a credit": Reasoned("the first start in this cycle was charged the cost of the course", ("R25", "R26")),
    "charged a seat": Reasoned("the learner's first start in the licence period was charged a seat", ("R25", "R26")),
    "cost nothing": Reasoned("a start cost nothing: it was paid for already", ("R25",)),
    "overdrawn": Reasoned("the pool was used up: recorded and flagged all the same", ("R28",)),
    "flagged learner inactive": Reasoned(
        "it turned out later that the learner was inactive at the start: flagged, nothing is reversed", ("R28",)
    ),
    "flagged course on hold": Reasoned(
        "it turned out later that the course was on hold at the start: flagged, nothing is reversed", ("R28",)
    ),
    "flagged not enrolled": Reasoned(
        "it turned out later that the learner was not enrolled at the start: flagged, nothing is reversed", ("R28",)
    ),
    "flagged outside licence period": Reasoned(
        "the start was outside of the licence period: flagged, nothing is reversed", ("R28",)
    ),
    "reviewed": Reasoned("a person looked at the flag", ("R28",)),
    # mail
    "announcement launched": Reasoned("the announcement was launched: its audience was made", ("R15", "R17")),
    "announcement not launched": Reasoned("the announcement was not launched", ("R16",)),
    "inactive at launch": Reasoned(
        "no mail: the learner was inactive when the audience was made, and does not get it later", ("R15", "R17")
    ),
    "inactive when sent": Reasoned("no mail: the learner was inactive when it was to go", ("R15",)),
    "not selected": Reasoned("no mail: the announcement's audience did not have the learner in it", ("R13", "R17")),
    "not told: inactive": Reasoned("no notice: the learner was inactive when they were enrolled", ("R1", "R12")),
    "not told": Reasoned("no notice: the same was told within the last 24 hours, or was not to be told", ("R12",)),
    "mail sent": Reasoned("the mail server took the mail", ("R18",)),
    "mail pending": Reasoned("the mail is to be sent yet", ("R18",)),
    "no mail: unknown": Reasoned("no mail: the learner was deleted", ("R15",)),
    "no mail: no address": Reasoned("no mail: the learner has no address", ("R22",)),
    "no mail: unsubscribed": Reasoned("no mail: the learner asked for no announcements", ("R15",)),
    "no mail: suppressed": Reasoned("no mail: the learner's address is suppressed", ("R15", "R21")),
    "no mail: nothing to tell": Reasoned("no mail: all it tells of was withdrawn or put on hold", ("R12",)),
    "no mail: cancelled": Reasoned("no mail: the announcement was cancelled before", ("R20",)),
    "mail failed": Reasoned("the mail failed: its reason says why", ("R18", "R21")),
    "mail uncertain": Reasoned("nobody knows whether the mail went: it is not sent again by itself", ("R19",)),
    "mail no longer kept": Reasoned(
        "what became of the mail is no longer kept: it was dealt with longer ago than that is kept", ("R35",)
    ),
    "mail bounced": Reasoned("the mail came back", ("R21",)),
    "complained": Reasoned("the mail was complained about", ("R21",)),
}


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened: `what` is its code, `why` what it means, `rules` by which rules. `course`, if it is
    about one; `subject`: the id of the event, request, mailing or entry; `detail`: what it was caused by, or the
    reason that was given. `at` is null if it has not happened yet."""

    at: datetime | None
    what: str
    why: str
    rules: list[str]
    course: str | None = None
    subject: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why something is as it is. `because`: the code of the cause, `answer` what it means and `rules` by which rules;
    `steps`: what led to it, and what came of it, in the order of their times."""

    about: str
    because: str
    answer: str
    rules: list[str]
    steps: list[Step]


def step(
    at: datetime | None, what: str, course: str | None = None, subject: str | None = None, detail: str | None = None
) -> Step:
    """A step by its code."""
    why = WHY[what]
    return Step(at, what, why.words, list(why.rules), course, subject, detail)


def explained(about: str, because: str, steps: Sequence[Step]) -> Explanation:
    """An explanation by the code of its cause."""
    why = WHY[because]
    return Explanation(about, because, why.words, list(why.rules), list(steps))


def of_access(active: bool, missing: Sequence[str], steps: Sequence[Step]) -> str:
    """The code of why a learner has access to a course, or has not (R3)."""
    if not active:
        return "became inactive"
    if "not on hold" in missing:
        return "on hold"
    if missing:
        withdrawals = [step.what for step in steps if step.what.startswith("withdrawn")]
        return withdrawals[-1] if withdrawals else "never enrolled"
    return "has access"
