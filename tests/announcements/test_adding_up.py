"""R18: whatever is done with an announcement, in whatever order, its counts add up at every step, and so does what the
mail server took."""

import itertools
from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from config.database import transaction
from config.settings import Settings
from tasks import announcements, mail
from tasks.announcements import NotAllowed, RetriedAnnouncement
from tasks.mail.rules import MOVES
from tasks.work.store import offer
from tests.announcements.counting import adds_up
from tests.world import World, work_on
from workers.queues import QUEUES

LEARNERS = 12

#: What may be done with an announcement, and what may happen meanwhile.
STEPS = ("launch", "pause", "resume", "cancel", "retry", "retry uncertain", "work", "rest", "heal", "leave", "return")

#: What the server answers to one recipient, until it heals: it takes, refuses, puts off, or hangs up on them.
MOODS = ("takes", "takes", "refuses", "defers", "hangs up")

_numbers = itertools.count(1)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Small pieces, an audience made in two, and two tries."""
    small = {"rollcall_chunk": 8, "rollcall_mail_batch": 3, "rollcall_mail_group": 2, "rollcall_mail_attempts": 2}
    return settings.model_copy(update=small | {"rollcall_retry_seconds": 0.01})


class Life:
    """An announcement to twelve, and what its admin and the world do with it."""

    def __init__(self, world: World, moods: list[str]) -> None:
        self.world = world
        self.id = f"news{next(_numbers)}"
        self.moods = {f"l{n}@acme.example": mood for n, mood in enumerate(moods)}
        self.took = 0
        self.asked_twice = False
        world.mail.reset()
        world.mail.on_recipient = lambda address, _times: {"refuses": "500 no", "defers": "447 later"}.get(
            self.moods.get(address, "")
        )
        world.mail.hangs_up = lambda address: self.moods.get(address) == "hangs up"
        with world.about() as (connection, org):
            draft = mail.Draft(self.id, "News", "Hello.", {"everyone": True})
            mail.create_draft(connection, org.organisation, draft, by="Ada")

    def step(self, step: str) -> None:
        """Do it; what is not allowed is refused, and changes nothing."""
        match step:
            case "work":
                self._work_on_one()
            case "rest":
                self.world.comes_to_rest()
            case "heal":
                self.moods.clear()
            case "leave" | "return":
                self.world.becomes("inactive" if step == "leave" else "active", "L1", "L7")
            case _:
                before = self.world.progress(self.id)
                try:
                    self._move(step)
                except NotAllowed:
                    assert self.world.progress(self.id) == before
                else:
                    assert before.state in MOVES[step.partition(" ")[0]]

    def _move(self, step: str) -> RetriedAnnouncement | str | None:
        with self.world.about() as (connection, org):
            found = announcements.find(connection, org.organisation, self.id)
            assert found is not None
            if step == "launch":
                announcements.launch(connection, self.world.runtime.settings, org, found, by="Ada")
                return None
            if step.startswith("retry"):
                uncertain = step == "retry uncertain"
                self.asked_twice |= uncertain
                settings = self.world.runtime.settings
                return announcements.retry(connection, settings, org, found, uncertain=uncertain, by="Ada")
            return {"pause": announcements.pause, "resume": announcements.resume, "cancel": announcements.cancel}[step](
                connection, org.organisation, found, by="Ada"
            )

    def _work_on_one(self) -> None:
        with transaction(self.world.runtime.engine) as connection:
            offers = [one for queue in QUEUES for one in offer(connection, queue, bound=1, repeat=timedelta(minutes=1))]
        for one in offers:
            work_on(self.world.runtime, one.actor, one.organisation, one.work)

    def check(self) -> None:
        """The counts add up; whom the ledger calls accepted, the server took, once; nobody else but the uncertain."""
        counts = adds_up(self.world, self.id)
        taken = Counter(self.world.mail.recipients)
        with self.world.about():
            ledger = dict(
                self.world.rows(
                    """
                    SELECT l.email, CAST(d.state AS text) FROM deliveries d JOIN learners l USING (organisation)
                    JOIN mailings m USING (organisation, mailing) WHERE l.learner = d.recipient AND m.id = :id
                    """,
                    id=self.id,
                )
            )
        accepted = {address for address, state in ledger.items() if state == "accepted"}
        uncertain = {address for address, state in ledger.items() if state == "uncertain"}
        assert len(accepted) == counts.accepted
        assert accepted <= taken.keys() <= accepted | (ledger.keys() if self.asked_twice else uncertain)
        if not self.asked_twice:
            assert set(taken.values()) <= {1}, "nobody gets it twice"
        if counts.state in {"finished", "finished with failures"}:
            assert counts.pending == 0
            assert (counts.state == "finished with failures") == (counts.failed > 0)


@hypothesis_settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@example(
    ["refuses"] * 4 + ["defers"] * 4 + ["hangs up"] * 4,
    ["launch", "work", "pause", "resume", "rest", "heal", "retry", "pause", "cancel"],
)
@example(["takes", "hangs up", "refuses"] * 4, ["launch", "work", "work", "pause", "cancel", "rest", "retry"])
@example(["hangs up", "refuses"] * 6, ["launch", "leave", "rest", "heal", "return", "retry uncertain", "rest"])
@given(
    st.lists(st.sampled_from(MOODS), min_size=LEARNERS, max_size=LEARNERS),
    st.lists(st.sampled_from(STEPS), max_size=10).map(lambda steps: ["launch", *steps]),
)
def _lives(world: World, moods: list[str], steps: list[str]) -> None:
    life = Life(world, moods)
    for step in steps:
        life.step(step)
        life.check()
    life.step("resume")
    life.step("rest")
    life.check()
    assert world.progress(life.id).pending == 0
    ended = world.progress(life.id)
    told = [one for type_ in ("finished", "cancelled") for one in world.out(f"announcement.{type_}")]
    last = [one for one in told if one["announcement"] == life.id][-1]
    assert (last["state"], last["accepted"], last["failed"]) == (ended.state, ended.accepted, ended.failed)
    life.step("cancel")
    world.becomes("active", "L1", "L7")


def test_r18_the_counts_add_up_at_every_step_whatever_is_done(world: World) -> None:
    world.has_learners(*(f"L{n}" for n in range(LEARNERS)))
    _lives(world)
