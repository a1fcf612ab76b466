"""What happens to an organisation of any size: every event, and all else that is asked, of all its learners at once."""

from collections.abc import Callable, Iterator

from tasks import reconcile, reports, seats
from tasks.announcements import find
from tests.world import World


class Life:
    """What happens to an organisation of `n` learners; each step is a method, run in this order."""

    def __init__(self, world: World, n: int) -> None:
        self.world, self.n = world, n
        self.ids = [f"L{k}" for k in range(n)]
        world.organisation = f"new{n}"

    def steps(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """Each step, with its name."""
        for name in vars(type(self)):
            if not name.startswith("_") and name != "steps":
                yield name, getattr(self, name)

    def _each(self, type_: str, **data: object) -> None:
        events = (self.world.event(type_, {"learner": id_, **data}) for id_ in self.ids)
        self.world.send(*events)

    def _are_saved(self, **data: object) -> None:
        """One in twenty has an address: each mail is a piece of work."""
        said = (self.world.learner(id_, **data) for id_ in self.ids)
        without = ({**one, "email": one["email"] if place % 20 == 0 else None} for place, one in enumerate(said))
        self.world.send(*(self.world.event("learner.saved", one) for one in without))

    def organisation_saved(self) -> None:
        self.world.has_organisation(admin_emails=[], reactivation_digest=True)

    def course_saved(self) -> None:
        self.world.has_segment("nurses")
        self.world.has_course("all", "everyone")
        self.world.has_course("also", "everyone")
        self.world.has_course("linked", "segments", segments=["nurses"])
        self.world.has_course("asked")
        self.world.has_course("held", on_hold=True)

    def many_segments(self) -> None:
        """More than is taken of one organisation at once: the rest waits for its turn."""
        segments = [f"s{k}" for k in range(self.n)]
        self.world.send(*(self.world.event("segment.saved", {"segment": id_, "name": "x"}) for id_ in segments))
        self.world.has_course("many", "segments", segments=segments)
        self.world.settle()

    def learner_saved(self) -> None:
        self._are_saved()

    def learner_saved_again(self) -> None:
        self._are_saved(status="active", last_name="Other")

    def segment_joined(self) -> None:
        self.world.say("segment.joined", segment="nurses", learners=self.ids)
        self.world.say("segment.joined", segment="s0", learners=self.ids)

    def enrolment_requested(self) -> None:
        self.world.asks_to_enrol("asked", *self.ids)
        self.world.asks_to_enrol("held", *self.ids)

    def segment_requested(self) -> None:
        self.world.say("enrolment.requested", request="by-segment", course="asked", cycle=2, segment="nurses")

    def settled(self) -> None:
        self.world.settle()

    def course_started(self) -> None:
        self._each("course.started", course="asked")

    def course_started_on_hold(self) -> None:
        self._each("course.started", course="held")

    def course_started_too_early(self) -> None:
        self._each("course.started", course="asked", cycle=3)

    def enrolled_at_last(self) -> None:
        self.world.asks_to_enrol("asked", *self.ids, cycle=3)

    def course_completed(self) -> None:
        self._each("course.completed", course="asked", result="passed", score=1)

    def made_inactive(self) -> None:
        self.world.becomes("inactive", *self.ids)

    def made_inactive_before_they_started(self) -> None:
        self._each("learner.status_changed", status="inactive", version=0)

    def course_saved_while_inactive(self) -> None:
        self.world.has_course("later", "everyone")

    def made_active(self) -> None:
        self.world.becomes("active", *self.ids)

    def usernames_only(self) -> None:
        self.world.has_learners(*self.ids, email=None)
        self.world.becomes("inactive", *self.ids)
        self.world.becomes("active", *self.ids)

    def segment_left(self) -> None:
        self.world.say("segment.left", segment="nurses", learners=self.ids)

    def segment_joined_again(self) -> None:
        self.world.say("segment.joined", segment="nurses", learners=self.ids)

    def method_changed(self) -> None:
        self.world.has_course("also", "manual")
        self.world.has_course("also", "everyone")

    def enrolment_withdrawn(self) -> None:
        self.world.withdraws("asked", *self.ids)

    def requested_again(self) -> None:
        self.world.asks_to_enrol("asked", *self.ids)

    def announced(self) -> None:
        self.world.announces("to-learners", audience={"learners": self.ids})
        self.world.announces("to-segments", audience={"segments": ["nurses", *(f"s{k}" for k in range(self.n))]})

    def looked_at(self) -> None:
        with self.world.about() as (connection, org):
            assert find(connection, org.organisation, "to-learners") is not None
            seats.balance(connection, org)

    def settled_again(self) -> None:
        self.world.settle()

    def reported(self) -> None:
        with self.world.about() as (connection, org):
            reports.headcounts(connection, org.organisation)
            reports.mail_counts(connection, org.organisation)
            reports.course_counts(connection, org.organisation)
            reports.summary(connection, org.organisation)

    def verified(self) -> None:
        with self.world.about() as (connection, org):
            assert not [found for check in seats.checks(connection, org) for found in check]

    def reconciled(self) -> None:
        with self.world.about() as (connection, org):
            reconcile.deviations(connection, org)
            reconcile.repair(connection, self.world.runtime.settings, org)

    def deleted_and_back(self) -> None:
        few = self.ids[:15]
        self.world.send(*(self.world.event("learner.deleted", {"learner": id_}) for id_ in few))
        self.world.has_learners(*few)

    def deleted(self) -> None:
        self._each("learner.deleted")
