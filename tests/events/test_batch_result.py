"""What became of a batch is what became of its parts: R31, R32."""

import pytest
from sqlalchemy import Connection

from config.database import column, lock_organisations
from tasks.intake import BatchResult, batch, process_batch
from tests.world import World

LEARNERS = "SELECT id FROM learners ORDER BY id"


def test_r32_what_became_of_both_parts_is_added_up_and_the_others_positions_are_behind() -> None:
    first = BatchResult(1, 2, 3, 4, 5, 6, ((0, "a"),))
    second = BatchResult(10, 20, 30, 40, 50, 60, ((1, "b"),))

    assert first + second == BatchResult(11, 22, 33, 44, 55, 66, ((0, "a"), (2, "b")))
    assert BatchResult() + first == first


def test_r32_what_is_done_with_the_last_part_is_done_once_in_its_transaction(world: World) -> None:
    alone = world.runtime.settings.model_copy(update={"rollcall_chunk": 1})
    seen: list[tuple[list[str], list[str]]] = []

    def then(connection: Connection) -> None:
        seen.append((column(connection, LEARNERS), world.list(LEARNERS)))

    bodies = [world.event("learner.saved", world.learner(id_)) for id_ in "AB"]
    process_batch(world.runtime.engine, alone, bodies, then=then)

    assert seen == [(["A", "B"], ["A"])]


def test_r31_of_those_who_are_being_changed_the_first_alone_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float | None] = []
    store_part = batch.store_part

    def noted(*said: object, patience: float | None = None, **more: object) -> BatchResult:
        waited.append(patience)
        return store_part(*said, patience=patience, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(batch, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(batch, "store_part", noted)
    others = ["globex", "initech"]
    world.send(
        *(world.event("organisation.saved", {"name": "O", "licence": "seats"}, organisation=id_) for id_ in others)
    )
    waited.clear()

    with world.about() as (connection, _):
        lock_organisations(connection, [1, 2])
        taken = world.send(
            world.event("learner.saved", world.learner("A")),
            *(world.event("learner.saved", world.learner("A"), organisation=id_) for id_ in others),
        )

    assert waited == [None, 0.01, 0, None, None], "who is free, two who are not, and both until it is their turn"
    assert (taken.new, taken.deferred) == (3, 2)
    assert [entry.organisation for entry in world.quarantine().values()] == ["acme", "globex"]


def test_r31_what_waits_for_an_organisation_is_stored_in_parts_and_what_waits_for_its_turn_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.events.rules.TURN", 0)
    alone = world.runtime.settings.model_copy(update={"rollcall_chunk": 1})
    bodies = [
        world.event("learner.saved", world.learner(learner), organisation=id_)
        for id_ in ("acme", "nobody")
        for learner in "ABC"
    ]

    process_batch(world.runtime.engine, alone, bodies)

    transactions = "SELECT organisation, count(DISTINCT CAST(xmin AS text)) FROM inbox GROUP BY 1 ORDER BY 1"
    assert world.rows(transactions) == [("acme", 1), ("nobody", 3)]
