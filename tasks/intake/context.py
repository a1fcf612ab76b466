"""What a handler works with, and what comes of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from config.settings import Settings
from tasks.events import Awaited, Deferred, Event
from tasks.organisations import Organisation


@dataclass(slots=True)
class Effects:
    """What came of events that were applied together.

    `known`: what others may have waited for. `enrolled`: the organisations of which somebody was enrolled, or may be
    found to have been. `void`: by organisation, who lost their passwords, with the event that did it, for one mail to
    the admins at the end (S8).
    """

    known: set[Awaited] = field(default_factory=set)
    enrolled: set[int] = field(default_factory=set)
    deferred: list[tuple[Event, Deferred]] = field(default_factory=list)
    void: dict[int, list[tuple[int, tuple[str, str]]]] = field(default_factory=dict)

    def add(self, other: "Effects") -> None:
        """What came of other events of the same transaction."""
        self.known |= other.known
        self.enrolled |= other.enrolled
        self.deferred += other.deferred
        for organisation, back in other.void.items():
            self.void.setdefault(organisation, []).extend(back)


@dataclass(slots=True)
class EventContext:
    """A transaction that applies events of one organisation. `before`: how that was described, if these describe it.
    `released`: a person has said that the events are valid (S12)."""

    connection: Connection
    settings: Settings
    organisation: Organisation
    effects: Effects = field(default_factory=Effects)
    before: Organisation | None = None
    released: bool = False

    @property
    def number(self) -> int:
        """The organisation's number."""
        return self.organisation.organisation

    def defer(self, event: Event, why: Deferred | None) -> None:
        """Leave an event for later, if there is a reason."""
        if why is not None:
            self.effects.deferred.append((event, why))

    def know(self, *awaited: Awaited) -> None:
        """Others may have waited for this."""
        self.effects.known.update(awaited)

    def know_statuses(self, learners: Iterable[int]) -> None:
        """Others may have waited for the status of these learners."""
        self.effects.known.update(Awaited.status(self.number, learner) for learner in learners)

    def know_enrolments(self) -> None:
        """Others may have waited for an enrolment that stands, or stood, by now."""
        self.effects.enrolled.add(self.number)
