"""When an enrolment stood, from all that is known by now, whichever was heard last (R6, R10, R27, S4, S5, S15).

A pure function: since when something holds is the latest of the beginnings of its causes, until when the earliest of
their ends, by the times at which they happened.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

#: The end of what has none, and the beginning of what always was.
EVER, NEVER = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)

#: What ends a period.
BY_NAME, BY_RULE, BY_DELETION = "name", "rule", "deletion"


class Rule(NamedTuple):
    """A course's method and links, from a time on."""

    since: datetime
    method: str
    segments: tuple[int, ...]


class StatusVersion(NamedTuple):
    """A change of status; of two the greater is the newer (S1)."""

    version: int
    since: datetime
    active: bool


class CountedStart(NamedTuple):
    """A start that was counted; `released`: a person said that it is valid (S12)."""

    time: datetime
    released: bool


class EnrolmentPeriod(NamedTuple):
    """A stretch of time for which an enrolment stood, and what ended it."""

    begin: datetime
    end: datetime = EVER
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """A learner: when they were deleted and described, in order, and every change of status."""

    deletions: Sequence[datetime]
    described: Sequence[datetime]
    statuses: Sequence[StatusVersion]

    def life(self, moment: datetime) -> tuple[datetime, datetime]:
        """The deletions between which a moment lies; at that of a deletion the next life begins."""
        at = bisect_right(self.deletions, moment)
        return self.deletions[at - 1] if at else NEVER, self.deletions[at] if at < len(self.deletions) else EVER

    def lives(self) -> list[tuple[datetime, datetime]]:
        """All that there were, and the one after the last deletion."""
        return list(pairwise([NEVER, *self.deletions, EVER]))

    def known_since(self, life: tuple[datetime, datetime]) -> datetime:
        """The first description in a life."""
        return min((time for time in self.described if life[0] < time < life[1]), default=EVER)

    def active_at(self, moment: datetime) -> bool:
        """By the newest change at or before a moment, of the life it lies in; active before the first (S1)."""
        began = max((time for time in self.deletions if time < moment), default=NEVER)
        newest = max((s for s in self.statuses if began < s.since <= moment), default=None)
        return newest is None or newest.active

    def active_from(self, begin: datetime, end: datetime) -> datetime | None:
        """The first moment in a stretch of time at which they are active."""
        moments = sorted({begin, *(s.since for s in self.statuses)})
        return next((moment for moment in moments if begin <= moment < end and self.active_at(moment)), None)


@dataclass(frozen=True, slots=True)
class Causes:
    """What makes and ends an enrolment at one place, and what was counted there. `requests` selected the learner."""

    rules: Sequence[Rule]
    moves: Mapping[int, Sequence[tuple[datetime, bool]]]
    withdrawals: Sequence[datetime]
    requests: Sequence[datetime]
    starts: Sequence[CountedStart]


@dataclass(frozen=True, slots=True)
class Timeline:
    """What became of it: when the life that counts `began`, its `last` period, if any, and those before; since when
    requests hold it; when it was started and gave access first; and the starts that, as it turns out, do not count."""

    began: datetime
    past: Sequence[EnrolmentPeriod]
    last: EnrolmentPeriod | None
    asked_since: datetime
    started: datetime | None
    activated: datetime | None
    contradicted: Sequence[datetime]


def timeline(person: Person, causes: Causes, lead: timedelta, *, deleted: bool) -> Timeline:
    """When an enrolment stood. Of who is `deleted`, the life that counts is the one that ended."""
    lives = person.lives()
    periods = [_enrolment_periods(person, causes, life, lead) for life in lives]
    counted = {
        start: any(
            s.begin <= start.time + lead and start.time < s.end for s in periods[lives.index(person.life(start.time))]
        )
        and person.active_at(start.time)
        for start in causes.starts
    }
    at = -2 if deleted and len(lives) > 1 else -1
    (began, ended), present = lives[at], periods[at]
    started = min(
        (s.time for s, counts in counted.items() if (counts or s.released) and began <= s.time < ended), default=None
    )
    last = present[-1] if present else None
    activated = None
    if last is not None:
        activated = person.active_from(last.begin, last.end)
        if activated != last.begin and started is not None:
            activated = min(activated or started, started)
        if last.by == BY_DELETION:
            last = EnrolmentPeriod(last.begin)
    past = [
        period for n, of_life in enumerate(periods) for period in (of_life[:-1] if n == len(lives) + at else of_life)
    ]
    return Timeline(
        began,
        past,
        last,
        max([began, *(time for time in causes.withdrawals if time < ended)]),
        started,
        activated,
        [start.time for start, counts in counted.items() if not counts and not start.released],
    )


def _enrolment_periods(
    person: Person, causes: Causes, life: tuple[datetime, datetime], lead: timedelta
) -> list[EnrolmentPeriod]:
    """The periods of one life. A withdrawal by name ends every source and stands against rules; a request holds until
    the next one. After a deletion, requests select nobody until the learner is made anew (S15). What was started in it,
    no rule ends (R10)."""
    began, ended = life
    known = person.known_since(life)
    withdrawn = sorted(time for time in causes.withdrawals if began < time < ended)
    asked = sorted(time for time in causes.requests if time < ended and (began == NEVER or known <= time))
    moves = {
        segment: sorted((time, not member) for time, member in changes if began < time < ended)
        for segment, changes in causes.moves.items()
    }
    moments = {known, *withdrawn, *asked, *(rule.since for rule in causes.rules if rule.since < ended)}
    moments.update(time for changes in moves.values() for time, _ in changes)
    found: list[EnrolmentPeriod] = []
    begin: datetime | None = None
    for moment in sorted(moments - {EVER}):
        last = withdrawn[bisect_right(withdrawn, moment) - 1] if withdrawn and withdrawn[0] <= moment else None
        held = any((last is None or last < time) and time <= moment for time in asked) or (
            last is None and known <= moment and _by_rule(causes.rules, moves, moment)
        )
        if begin is None and held:
            begin = moment
        elif (
            begin is not None
            and not held
            and (last == moment or not _started(person, causes, life, begin, moment, lead))
        ):
            found.append(EnrolmentPeriod(begin, moment, BY_NAME if last == moment else BY_RULE))
            begin = None
    if begin is not None:
        found.append(EnrolmentPeriod(begin, ended, BY_DELETION))  # or nothing ends it: the last is open either way
    return found


def _by_rule(rules: Sequence[Rule], moves: Mapping[int, Sequence[tuple[datetime, bool]]], moment: datetime) -> bool:
    """Whether a rule holds the learner at a moment: *everyone*, or a linked segment that they are in (R10)."""
    rule = max((rule for rule in rules if rule.since <= moment), key=lambda rule: rule.since, default=None)
    return rule is not None and (
        rule.method == "everyone"
        or (rule.method == "segments" and any(_is_member(moves.get(one, ()), moment) for one in rule.segments))
    )


def _is_member(changes: Sequence[tuple[datetime, bool]], moment: datetime) -> bool:
    newest = max((change for change in changes if change[0] <= moment), default=None)
    return newest is not None and not newest[1]


def _started(
    person: Person, causes: Causes, life: tuple[datetime, datetime], begin: datetime, end: datetime, lead: timedelta
) -> bool:
    return any(
        begin <= s.time + lead and life[0] <= s.time < end and (s.released or person.active_at(s.time))
        for s in causes.starts
    )
