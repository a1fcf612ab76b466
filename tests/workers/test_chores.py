"""One organisation's trouble does not keep the relay from anybody else's chores: R31."""

import threading

import pytest
from structlog.testing import capture_logs

from config.runtime import Runtime
from config.settings import Settings
from tests.workers.deployment import DEADLINE, until
from tests.world import World, id_of
from workers.relay import Relay
from workers.relay.chore import Chore


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Nothing may wait."""
    return settings.model_copy(update={"rollcall_waiting_seconds": 0.0, "rollcall_chunk": 2})


def refuses(world: World, table: str, when: str) -> None:
    """Have the database refuse what a chore writes of the first organisation."""
    world.execute(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'XX000'; END $$"
    )
    world.execute(
        f"CREATE TRIGGER refuse BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse()"
    )


def test_r31_what_cannot_be_closed_keeps_nothing_else_from_being_closed(world: World) -> None:
    refuses(world, "fanouts", "OLD.organisation = 1 AND NEW.finished_at IS NOT NULL")
    refuses(world, "mailings", "OLD.organisation = 1 AND NEW.state LIKE 'finished%'")
    refuses(world, "inbox", "OLD.organisation = 'acme' AND NEW.state = 'quarantined'")
    late = {}
    for organisation in ("acme", "globex"):
        world.organisation = organisation
        world.has_organisation()
        world.has_learners("A", "B", "C")
        world.has_course("safety")
        world.asks_to_enrol("safety", "A", "B", "C", request="r")
        world.announces("news")
        late[organisation] = id_of(world.starts("A", "nothing"))

    with capture_logs() as lines:
        world.settle()
        Relay(world.runtime).round()

    ended = {event["type"] for event in world.out() if event["organisation"] == "globex"}
    assert {"rollcall.enrolment.finished", "rollcall.announcement.finished", "rollcall.event.quarantined"} <= ended
    states = {id_: held.state for id_, held in world.quarantine().items()}
    assert states == {late["acme"]: "waiting", late["globex"]: "quarantined"}
    open_ = "SELECT count(*) FROM {} WHERE organisation = 1 AND finished_at IS NULL"
    assert world.ask(open_.format("fanouts")) == 1
    assert world.ask(open_.format("mailings")) > 0
    failed = [line["chore"] for line in lines if line["event"] == "chore.failed"]
    assert len(failed) == len(set(failed)) > 3, "each trouble is said once"


def test_r31_what_cannot_be_published_keeps_nobody_from_being_woken(world: World) -> None:
    world.has_learners("A", "B", "C")
    world.has_course("safety", "everyone")
    world.execute("UPDATE publication SET ordered = 9223372036854775807")
    world.becomes("inactive", "A")

    Relay(world.runtime).round()

    assert set(world.list("SELECT state FROM work")) == {"offered"}


class Slow(Chore):
    """A chore that takes long, and fails the first time."""

    name = "slow"
    seconds = 0.0
    beside = True

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.begun, self.may_end = 0, threading.Event()

    def do(self) -> None:
        """Take until it may end."""
        self.begun += 1
        self.may_end.wait(DEADLINE)
        if self.begun == 1:
            raise ValueError("no")


def test_r31_what_takes_seconds_is_done_beside_the_others_and_once_at_a_time(world: World) -> None:
    world.has_learners("A", "B", "C")
    relay = Relay(world.runtime)
    slow = Slow(world.runtime)
    relay.chores.insert(0, slow)

    with capture_logs() as lines:
        relay.round()
        world.has_course("safety", "everyone")
        for chore in relay.chores:
            chore.due_at = 0.0
        relay.round()
        assert (slow.begun, set(world.list("SELECT state FROM work"))) == (1, {"offered"})

        slow.may_end.set()
        until(lambda: any(line.get("chore") == "slow" for line in lines), "its failure to be said")
        slow.due_at = 0.0
        until(lambda: relay.round() or slow.begun > 1, "it to be done again")  # type: ignore[func-returns-value]
