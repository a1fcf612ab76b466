"""Pools that are paused, and work that was set aside."""

import json
import urllib.request

import pytest

from config.counting import counts
from config.errors import Forbidden, NotFound
from config.settings import Settings
from tasks import work
from tasks.accounts import Role
from tasks.acts import system as acts
from tasks.acts import underway
from tasks.acts.acting import Nothing
from tasks.work import Pool
from tests.acts.doing import audited, caller, do
from tests.isolation.conftest import Rollcall, rollcall
from tests.workers.serving import served
from tests.world import World, work_on
from workers.presence import store_counts
from workers.relay.sampling import TakeSamples
from workers.relay.wake import Wake

__all__ = ["rollcall"]  # a fixture


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Whoever was woken, and began nothing, is woken again soon."""
    return settings.model_copy(update={"rollcall_offer_seconds": 0.5})


@pytest.fixture
def paused(world: World) -> World:
    """There is bulk work, and its pool is paused."""
    world.has_learners("A")
    world.announces()
    world.ask("SELECT 1")
    state = do(world, acts.pause, acts.PoolPause(Pool.BULK, "the mail server is full"), None)
    assert state == acts.PoolState("bulk", True, True)
    world.execute("UPDATE work SET queue = 'bulk'")
    return world


def offers(world: World) -> int:
    """For how many pieces the relay wakes somebody."""
    found = []
    wake = Wake(world.runtime)
    wake.broker.wake = lambda queue, messages: found.extend([queue] * len(list(messages)))  # type: ignore[method-assign]
    wake.do()
    return len(found)


def test_what_is_advised_is_reckoned_from_what_workers_did(world: World, rollcall: Rollcall) -> None:
    chore = TakeSamples(world.runtime)
    world.has_learners("A", "B")
    world.settle()
    store_counts(world.runtime.engine)
    chore.do()
    world.execute("UPDATE samples SET at = at - interval '2 minutes'")

    world.announces()
    world.settle()
    counts.observe("rollcall_work_seconds", 100.0, queue="bulk")
    store_counts(world.runtime.engine)
    chore.do()

    tasks, mail, bulk = do(world, underway.advise, underway.AdviceTerms(target_seconds=1), None)
    assert bulk.seconds_a_piece == pytest.approx(100, abs=20)  # what the worker really took is counted, too
    assert (bulk.busiest_minute, bulk.processes) == (1, 3)
    assert [one.processes for one in (tasks, mail)] == [1, 1]
    told = json.loads(rollcall("pools", "advise", "--json", "--target", "30").stdout)
    assert [(one["pool"], one["target_seconds"]) for one in told] == [("tasks", 30.0), ("mail", 30.0), ("bulk", 30.0)]
    assert "busiest minute" in rollcall("pools", "advise").stdout


def test_nobody_is_woken_for_a_paused_pool_and_whoever_was_begins_nothing(paused: World) -> None:
    assert offers(paused) == 0
    paused.execute("UPDATE work SET state = 'offered'")
    (piece,) = paused.list("SELECT work FROM work")

    work_on(paused.runtime, paused.ask("SELECT actor FROM work"), 1, piece)

    assert paused.list("SELECT state FROM work") == ["offered"]
    with paused.runtime.engine.connect() as connection:
        assert work.others_wait(connection, "bulk")  # so whoever works on a piece puts it back
        assert not [load for load in work.loads(connection) if load.stalled]

    do(paused, acts.resume, acts.PoolResumption(Pool.BULK), None)

    assert offers(paused) == 1
    paused.comes_to_rest()
    assert paused.mail.recipients == ["a@acme.example"]


def test_a_paused_pool_is_shown_wherever_somebody_looks(paused: World, rollcall: Rollcall) -> None:
    said = "The pool bulk is paused since"
    assert said in rollcall("status").stdout
    (shown,) = json.loads(rollcall("status", "--json").stdout)["pools_paused"]
    assert (shown["pool"], shown["why"]) == ("bulk", "the mail server is full")
    with served(paused.runtime) as found, urllib.request.urlopen(found.endpoints.public_url + "/healthz") as page:  # noqa: S310
        (told,) = json.load(page)["pools"]
    assert said in told
    assert "rollcall pools resume bulk" in told

    again = rollcall("pools", "pause", "bulk", "--why", "once more")
    assert again.stdout == "The pool bulk is paused already: nothing to do.\n"
    assert rollcall("pools", "resume", "bulk").stdout == "The pool bulk works.\n"
    assert rollcall("pools", "resume", "bulk").stdout == "The pool bulk works already: nothing to do.\n"
    assert [entry[:3] for entry in audited(paused, "system.pause")] == [
        ("bulk", {"paused": False}, {"paused": True}),
        ("bulk", {"paused": True}, {"paused": True}),
    ]


def test_work_that_was_set_aside_is_listed_by_pages_and_given_up_whole_or_not_at_all(world: World) -> None:
    world.execute(
        "INSERT INTO work (organisation, queue, actor, subject, state) SELECT 1, 'tasks', 'x', n, 'failing'"
        " FROM generate_series(1, 3) n"
    )
    numbers = world.list("SELECT work FROM work ORDER BY work")

    first = do(world, acts.failing, acts.WorkFilter(limit=2), None)
    second = do(world, acts.failing, acts.WorkFilter(limit=2, after=first.next), None)
    with pytest.raises(NotFound):
        do(world, acts.discard_many, acts.Pieces([numbers[0], 999]), None)
    kept = world.list("SELECT work FROM work ORDER BY work")
    do(world, acts.discard, acts.OnePiece(numbers[0]), None)
    do(world, acts.retry, acts.OnePiece(numbers[1]), None)

    assert [piece.number for piece in (*first.items, *second.items)] == kept == numbers
    assert second.next is None
    assert world.rows("SELECT work, state FROM work ORDER BY work") == [(numbers[1], "due"), (numbers[2], "failing")]
    assert audited(world, "work.discard_many")[0][3] == "refused: NotFound"
    assert audited(world, "work.discard")[0][:3] == (str(numbers[0]), {"state": "failing"}, {"state": "discarded"})


def test_r34_the_system_is_an_operators(world: World) -> None:
    for role in (Role.READER, Role.ADMIN):
        for act, asked in (
            (acts.show, Nothing()),
            (acts.pause, acts.PoolPause(Pool.MAIL, "no")),
            (acts.retry, acts.OnePiece(1)),
        ):
            with pytest.raises(Forbidden):
                do(world, act, asked, None, caller(role))
    assert [entry[3] for entry in audited(world, "system.pause")] == ["refused: Forbidden"] * 2
    assert world.ask("SELECT count(*) FROM pools WHERE paused_at IS NOT NULL") == 0
