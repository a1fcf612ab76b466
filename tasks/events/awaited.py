"""What an event waits for: a key with a constructor for each kind, kept in columns that SQL joins on."""

from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

Kind: TypeAlias = Literal["organisation", "learner", "course", "segment", "enrolment", "status", "turn"]


@dataclass(frozen=True, slots=True)
class Awaited:
    """What an event waits for, and what is known from now on. `organisation`: its number, 0 if nobody knows it; `id`:
    the platform's; course, cycle and learner by their numbers."""

    kind: Kind
    organisation: int
    id: str | None = None
    course: int | None = None
    cycle: int | None = None
    learner: int | None = None

    @classmethod
    def saved_organisation(cls, id_: str) -> Self:
        """An organisation that is to be saved."""
        return cls("organisation", 0, id_)

    @classmethod
    def saved_learner(cls, organisation: int, id_: str) -> Self:
        """A learner who is to be saved."""
        return cls("learner", organisation, id_)

    @classmethod
    def saved_course(cls, organisation: int, id_: str) -> Self:
        """A course that is to be saved."""
        return cls("course", organisation, id_)

    @classmethod
    def saved_segment(cls, organisation: int, id_: str) -> Self:
        """A segment that is to be saved."""
        return cls("segment", organisation, id_)

    @classmethod
    def enrolment(cls, organisation: int, course: int, cycle: int, learner: int) -> Self:
        """An enrolment that is to be made."""
        return cls("enrolment", organisation, None, course, cycle, learner)

    @classmethod
    def status(cls, organisation: int, learner: int) -> Self:
        """An entry that is to come into the history of a learner's status."""
        return cls("status", organisation, learner=learner)


#: What an event waits for that has no id, as people are told.
WITHOUT_ID: dict[Kind, str] = {
    "enrolment": "its enrolment",
    "status": "an earlier change of status",
    "turn": "what its organisation sent before it",
}


def in_words(kind: Kind | None, id_: str | None) -> str | None:
    """What an event waits for, as people are told."""
    return kind and WITHOUT_ID.get(kind, f"the {kind} {id_}")
