"""The reconciling pass: it proves that what is derived agrees with what it is derived from, and mends what does not."""

import itertools
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from config.settings import Settings
from tasks.reconcile import Deviation, repair
from tests.world import World

Break = Callable[[World], None]

#: What goes wrong behind the system's back, and what is found.
BREAKS: dict[str, tuple[str, dict[tuple[str, str | None], int]]] = {
    "enrolments are gone": ("DELETE FROM enrolments WHERE learner IN (1, 3)", {
        (Deviation.MISSING, "all"): 2, (Deviation.MISSING, "some"): 1,
    }),
    "a rule withdrew them": ("UPDATE enrolments SET withdrawn_at = now(), withdrawn_by = 'rule' WHERE course = 1", {
        (Deviation.MISSING, "all"): 4,
    }),
    "nothing holds them": (
        """
        INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at, activated_at)
        SELECT 1, course, 1, learner, false, 0, now(), now() FROM courses, learners WHERE learner IN (3, 4)
        ON CONFLICT DO NOTHING
        """,
        {(Deviation.SURPLUS, "some"): 2, (Deviation.SURPLUS, "none"): 2},
    ),
    "a standing is not what history says": ("UPDATE learners SET standing = 'active' WHERE id = 'C'", {
        (Deviation.STANDING, None): 1, (Deviation.ACTIVATION, None): 1,
    }),
    "memberships are gone": ("DELETE FROM memberships WHERE learner = 1", {
        (Deviation.MEMBERSHIP, None): 1, (Deviation.SURPLUS, "some"): 1,
    }),
    "a membership has no history": (
        "INSERT INTO memberships (organisation, segment, learner, member, since) VALUES (1, 1, 4, true, now())",
        {(Deviation.MEMBERSHIP, None): 1, (Deviation.MISSING, "some"): 1},
    ),
    "it does not say since when": ("UPDATE enrolments SET activated_at = NULL WHERE learner = 1", {
        (Deviation.ACTIVATION, None): 2,
    }),
}  # fmt: skip


@pytest.fixture
def settled(world: World) -> World:
    """Four learners, one of them inactive, a segment, and a course of each method; everything done and told."""
    world.has_learners("A", "B", "C", "D")
    world.becomes("inactive", "C")
    world.has_segment("s", "A", "B")
    world.has_course("all", "everyone")
    world.has_course("some", "segments", segments=["s"])
    world.has_course("none")
    world.settle()
    assert world.off() == {}
    return world


def mend(world: World) -> None:
    """Repair what is off, and let the workers do their part."""
    with world.about() as (connection, org):
        repair(connection, world.runtime.settings, org)
    world.settle()


def present(world: World) -> dict[str, tuple[set[str], list[str]]]:
    """Of each learner the courses with access, and those they are enrolled in."""
    return {
        learner: (world.access(learner), sorted(c for c, e in world.enrolments(learner).items() if not e.withdrawn_at))
        for learner in "ABCD"
    }


@pytest.mark.parametrize("what", BREAKS)
def test_r10_what_is_off_is_found_counted_and_mended_without_a_mail(settled: World, what: str) -> None:
    before, told = present(settled), len(settled.mail.taken)
    statement, found = BREAKS[what]

    settled.execute(statement)
    assert settled.off() == found
    mend(settled)

    assert settled.off() == {}
    assert present(settled) == before
    assert len(settled.mail.taken) == told


def test_r04_a_standing_that_is_mended_is_told_to_the_platform(settled: World) -> None:
    settled.execute("UPDATE learners SET standing = CASE id WHEN 'C' THEN 'active' ELSE 'inactive' END::standing")

    mend(settled)

    told = [(e["type"], e["data"]["learner"]) for e in settled.out() if e["type"].startswith("rollcall.access")]
    assert told[-4:] == [
        ("rollcall.access.suspended", "C"),
        *(("rollcall.access.activated", learner) for learner in "ABD"),
    ]


def test_r10_what_was_withdrawn_by_name_or_started_is_left_alone(settled: World) -> None:
    settled.withdraws("all", "A")
    settled.starts("B", "some")
    settled.say("segment.left", segment="s", learners=["B"])
    settled.say("learner.deleted", learner="D")

    assert settled.off() == {}
    mend(settled)
    assert (settled.access("A"), settled.access("B")) == ({"some"}, {"all", "some"})


class TestOverSeveralChunks:
    """Everything at once, while workers are doing the fan-outs."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"rollcall_chunk": 5, "rollcall_mail_batch": 3})

    @pytest.mark.slow
    def test_r10_whatever_changes_while_fanouts_run_ends_as_the_rules_say(self, world: World) -> None:
        chance = random.Random(3)  # noqa: S311 - the same story each time
        learners = [f"L{n}" for n in range(30)]
        world.has_learners(*learners)
        world.has_segment("s", *learners[::3])
        world.has_segment("t", *learners[1::4])
        newcomers = (f"N{n}" for n in itertools.count())
        stop = threading.Event()
        failed: list[BaseException] = []

        def work() -> None:
            while not stop.is_set():
                try:
                    world.settle()
                except BaseException as problem:  # noqa: BLE001 - reported by the test
                    failed.append(problem)
                    return

        worker = threading.Thread(target=work)
        worker.start()
        try:
            for _ in range(60):
                segment, some = chance.choice("st"), chance.sample(learners, 4)
                match chance.randrange(6):
                    case 0:
                        world.has_course("x", "everyone")
                    case 1:
                        world.has_course("x", "segments", segments=chance.choice([["s"], ["t"], ["s", "t"]]))
                    case 2:
                        world.has_course("x", "manual")
                    case 3:
                        world.say(chance.choice(["segment.joined", "segment.left"]), segment=segment, learners=some)
                    case 4:
                        world.has_learners(next(newcomers), status=chance.choice(["active", "inactive"]))
                    case 5:
                        world.becomes(chance.choice(["active", "inactive"]), *some)
        finally:
            stop.set()
            worker.join()
        assert failed == []
        world.settle()

        assert world.off() == {}
        methods = chance.sample(["everyone", "manual", "everyone"], 3)
        for method in methods:
            world.has_course("x", method)
        world.settle()
        assert world.off() == {}
        enrolled = world.ask("SELECT count(*) FROM enrolments WHERE withdrawn_at IS NULL")
        known = world.ask("SELECT count(*) FROM learners WHERE standing IN ('active', 'inactive')")
        assert enrolled == (known if methods[-1] == "everyone" else 0)


def test_r06_a_start_that_waited_for_what_was_mended_is_taken(settled: World) -> None:
    settled.execute("DELETE FROM enrolments WHERE learner = 1")
    settled.starts("A", "all", at=datetime.now(UTC))
    assert len(settled.quarantine()) == 1

    mend(settled)

    assert settled.quarantine() == {}
    assert [entry.learner for entry in settled.ledger()] == ["A"]
