"""Whether somebody may open a course: what a platform asks at the door of each."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta
from sqlalchemy import Engine

from config.database import autocommit, one, rows
from config.errors import BadField, Invalid, NotFound
from config.phrases import NO_COURSE, NO_LEARNER
from config.sql import query
from tasks import enrolments
from tasks.accounts import Caller, TokenHolder
from tasks.acts.acting import Doing, act
from tasks.enrolments import AccessFound, PairAccess

#: Pairs of a learner and a course that are asked about at once, at most.
MOST_PAIRS = 1000


@dataclass(frozen=True, slots=True)
class AccessAsked:
    """Of whom, and of which course."""

    learner: Annotated[str, Meta(description="the platform's id")]
    course: Annotated[str, Meta(description="the platform's id")]


@dataclass(frozen=True, slots=True)
class AccessAnswer:
    """Whether there is access. `because`: of access, all that it takes; of none, what is missing of that."""

    access: bool
    because: list[str]


@dataclass(frozen=True, slots=True)
class PairsAsked:
    """Of whom, and of which courses: every pair of both."""

    learners: list[str]
    courses: list[str]

    def distinct(self) -> tuple[list[str], list[str]]:
        """The learners and the courses, each once. Raises `Invalid` if they are too many pairs."""
        learners, courses = list(dict.fromkeys(self.learners)), list(dict.fromkeys(self.courses))
        if len(learners) * len(courses) > MOST_PAIRS:
            detail = f"{len(learners)} learners in {len(courses)} courses are more than {MOST_PAIRS} pairs."
            raise Invalid(f"At most {MOST_PAIRS} pairs are answered at once.", [BadField("/learners", detail)])
        return learners, courses


@act("access.ask", "GET access")
def ask(doing: Doing, asked: AccessAsked) -> AccessAnswer:
    """Say whether a learner has access to a course, and why (R3)."""
    return at_the_door(doing.runtime.engine, doing.organisation.id, asked)


def at_the_door(engine: Engine, organisation: str, asked: AccessAsked) -> AccessAnswer:
    """The same, by one statement in all: the organisation, too, is looked up in it."""
    with autocommit(engine) as connection:
        found = enrolments.access_of(connection, organisation, asked.learner, asked.course)
    return answer_of(found, organisation, asked)


#: Whose a token is, and the answer to what is asked with it: a token that was revoked opens nothing any more.
BY_TOKEN = f"""
    WITH holder AS ({query("accounts.holder")}), found AS ({query("enrolments.access_of")})
    SELECT holder.name, holder.role, holder.organisations, found.learner_known, found.course_known, found.access,
           found.because
    FROM holder LEFT JOIN found ON true
"""


@dataclass(frozen=True, slots=True)
class FoundByToken:
    """Who asks, and what was found. `access` and the rest: None if there is no such organisation."""

    name: str
    role: str
    organisations: list[str] | None
    learner_known: bool | None
    course_known: bool | None
    access: bool | None
    because: list[str] | None

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return TokenHolder(self.name, self.role, self.organisations).as_caller()

    @property
    def is_here(self) -> bool:
        """Whether there is such an organisation in this cell."""
        return self.access is not None

    def answer(self, organisation: str, asked: AccessAsked) -> AccessAnswer:
        """What is answered to somebody who may ask. Raises `NotFound`."""
        if self.access is None:
            return answer_of(None, organisation, asked)
        found = AccessFound(bool(self.learner_known), bool(self.course_known), self.access, self.because or [])
        return answer_of(found, organisation, asked)


def by_token(engine: Engine, hashed: bytes, organisation: str, asked: AccessAsked) -> FoundByToken | None:
    """The same with who asks, by one statement in all; None if the token is not known, expired or revoked."""
    with autocommit(engine) as connection:
        fields = {"hash": hashed, "of": organisation, "learner": asked.learner, "course": asked.course}
        return one(connection, FoundByToken, BY_TOKEN, **fields)


def answer_of(found: AccessFound | None, organisation: str, asked: AccessAsked) -> AccessAnswer:
    """What is answered. Raises `NotFound` if one of the three is not there."""
    if found is None:
        raise NotFound(f"There is no organisation {organisation!r}.")
    if not found.learner_known:
        raise NotFound(NO_LEARNER(learner=repr(asked.learner), organisation=repr(organisation)))
    if not found.course_known:
        raise NotFound(NO_COURSE(course=repr(asked.course), organisation=repr(organisation)))
    return AccessAnswer(found.access, found.because)


@act("access.ask_many", "POST access", changes=False)
def ask_many(doing: Doing, asked: PairsAsked) -> list[PairAccess]:
    """Say the same of every pair of these learners and courses. Who is not known has no access."""
    with autocommit(doing.runtime.engine) as connection:
        found = enrolments.access_of_pairs(connection, doing.organisation.id, *asked.distinct())
    return _in_order(found, asked)


def _in_order(found: Iterable[PairAccess], asked: PairsAsked) -> list[PairAccess]:
    learners, courses = asked.distinct()
    pairs = {(one.learner, one.course): one for one in found}
    return [pairs[learner, course] for learner in learners for course in courses]


#: The same of many pairs: a row for each, and one at least if the token holds.
PAIRS_BY_TOKEN = f"""
    WITH holder AS ({query("accounts.holder")}), found AS ({query("enrolments.access_of_pairs")})
    SELECT o.organisation IS NOT NULL AS known, found.learner, found.course, found.access, found.because
    FROM holder LEFT JOIN organisations o ON o.id = :of LEFT JOIN found ON true
"""


@dataclass(frozen=True, slots=True)
class PairByToken:
    """A pair, or that there is none."""

    known: bool
    learner: str | None
    course: str | None
    access: bool | None
    because: list[str] | None


@dataclass(frozen=True, slots=True)
class PairsByToken:
    """What was found for somebody whose token holds."""

    rows: list[PairByToken]

    @property
    def is_here(self) -> bool:
        """Whether there is such an organisation in this cell."""
        return self.rows[0].known

    def answer(self, organisation: str, asked: PairsAsked) -> list[PairAccess]:
        """What is answered to somebody who may ask. Raises `NotFound`."""
        if not self.rows[0].known:
            raise NotFound(f"There is no organisation {organisation!r}.")
        found = [
            PairAccess(one.learner, one.course, bool(one.access), one.because or [])
            for one in self.rows
            if one.learner is not None and one.course is not None
        ]
        return _in_order(found, asked)


def pairs_by_token(engine: Engine, hashed: bytes, organisation: str, asked: PairsAsked) -> PairsByToken | None:
    """The same with who asks, by one statement in all; None if the token is not known, expired or revoked."""
    learners, courses = asked.distinct()
    with autocommit(engine) as connection:
        fields = {"hash": hashed, "of": organisation, "learners": learners, "courses": courses}
        found = rows(connection, PairByToken, PAIRS_BY_TOKEN, **fields)
    return PairsByToken(found) if found else None
