"""R31: a transaction is about one organisation, and no statement in it may name another."""

from datetime import timedelta

import pytest

from config.database import CrossedOver, scoped, transaction, value
from tasks import learners
from tasks.work.store import offer
from tests.isolation.neighbours import OURS, THEIRS
from tests.world import World, id_of, work_on

COUNT = "SELECT count(*) FROM learners WHERE organisation = :organisation"


def test_r31_a_transaction_names_the_organisation_it_is_about_and_no_other(world: World) -> None:
    with transaction(world.runtime.engine, 1) as connection:
        assert value(connection, COUNT, organisation=1) == 0
        with pytest.raises(CrossedOver, match="organisation 2 is named, and the transaction is about 1"):
            value(connection, COUNT, organisation=2)
        with pytest.raises(CrossedOver), scoped(connection, 2):
            pass


def test_r31_a_transaction_about_none_names_none(world: World) -> None:
    with transaction(world.runtime.engine) as connection:
        with scoped(connection, 1), scoped(connection, 1):
            assert value(connection, COUNT, organisation=1) == 0
        with scoped(connection, 2):
            assert value(connection, COUNT, organisation=2) == 0
        with pytest.raises(CrossedOver, match="the transaction is about none"):
            value(connection, COUNT, organisation=1)


def test_r31_a_connection_is_about_nobody_once_its_transaction_has_ended(world: World) -> None:
    for organisation in (1, 2, 1):
        with transaction(world.runtime.engine, organisation) as connection:
            assert value(connection, COUNT, organisation=organisation) == 0


def test_r31_a_batch_of_two_organisations_events_is_applied_to_each(neighbours: World) -> None:
    neighbours.send(
        *(
            neighbours.event("learner.saved", neighbours.learner("new"), organisation=organisation)
            for organisation in (OURS, THEIRS, OURS, THEIRS)
        )
    )

    assert len(neighbours.enrolments("new", OURS)) == len(neighbours.enrolments("new", THEIRS)) == 1


def test_r31_an_event_whose_effects_cross_over_is_set_aside_and_stops_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistaken = world.event("segment.saved", {"segment": "nurses", "name": "Nurses"})
    with monkeypatch.context() as mistake:
        ensured = learners.ensure_segments
        mistake.setattr(
            "tasks.learners.intake.ensure_segments",
            lambda connection, number, ids: ensured(connection, number + 1, ids),
        )
        world.send(mistaken, world.event("learner.saved", world.learner("A")))

    assert world.enrolments("A") == {}
    assert {id_: entry.reason for id_, entry in world.quarantine().items()} == {id_of(mistaken): "internal error"}
    assert world.ask("SELECT count(*) FROM segments") == 0


def test_r31_a_wake_up_under_another_organisations_number_finds_nothing(neighbours: World) -> None:
    neighbours.announces("hello")
    with transaction(neighbours.runtime.engine) as connection:
        (one,) = offer(connection, "bulk", bound=8, repeat=timedelta(minutes=1))
    (theirs,) = neighbours.list("SELECT organisation FROM organisations WHERE id = :id", id=THEIRS)

    work_on(neighbours.runtime, one.actor, theirs, one.work)

    assert neighbours.rows("SELECT state, fence FROM work WHERE work = :work", work=one.work) == [("offered", 0)]
