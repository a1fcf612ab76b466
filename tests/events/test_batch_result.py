"""What became of a batch is what became of its parts: R31, R32."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from config.database import column, lock_organisations
from tasks.events import Event, decode
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


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """With how much patience each part was to be stored."""
    found: list[float | None] = []
    store_part = batch.store_part

    def noted(*said: Any, patience: float | None = None, **more: Any) -> BatchResult:
        found.append(patience)
        return store_part(*said, patience=patience, **more)

    monkeypatch.setattr(batch, "store_part", noted)
    return found


def test_r31_of_those_who_are_being_changed_the_first_alone_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch, waited: list[float | None]
) -> None:
    monkeypatch.setattr(batch, "PATIENCE_SECONDS", 0.01)
    others = ["globex", "initech"]
    saved = {"name": "O", "licence": "seats"}
    world.send(*(world.event("organisation.saved", saved, organisation=id_) for id_ in others))
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


@pytest.mark.parametrize("turn_of", [None, 1])
def test_r31_what_cannot_be_stored_together_is_stored_in_parts_just_so(
    world: World, waited: list[float | None], turn_of: int | None
) -> None:
    """At once, or until it is their turn."""
    world.execute("ALTER TABLE learners ADD CHECK (id <> 'bad')")
    world.execute("ALTER TABLE inbox ADD CHECK (reason <> 'its turn' OR id <> 'bad')")
    bodies = [world.event("learner.saved", world.learner(id_), id_=id_) for id_ in ("A", "B", "bad", "C")]
    read = [decode(body, now=world.clock, skew=timedelta()) for body in bodies]
    events = [event for event in read if isinstance(event, Event)]
    engine, settings = world.runtime.engine, world.runtime.settings

    done = batch.store_part(engine, settings, events, {}, patience=5, turn_of=turn_of)

    assert waited == [5] * 5, "all, two halves, and the second half of them one by one"
    parked = ["A", "B", "C"] if turn_of else []
    assert done == BatchResult(new=4, deferred=1 + len(parked))
    assert {id_: entry.reason for id_, entry in world.quarantine().items()} == {
        "bad": "internal error",
        **dict.fromkeys(parked, "its turn"),
    }


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


def test_r31_what_another_organisation_might_have_sent_is_refused_whether_it_can_be_read_or_not(world: World) -> None:
    def saved(organisation: str, **wrong: Any) -> bytes:
        return world.event("learner.saved", world.learner("A") | wrong, organisation=organisation)

    bodies = [saved("acme"), saved("other"), saved("acme", email=5), saved("other", email=5), b"nothing"]
    result = process_batch(world.runtime.engine, world.runtime.settings, bodies, only={"acme"})

    assert (result.events, result.new, result.malformed, result.refused) == (5, 1, 2, 2)
    reasons = dict(result.reasons)
    assert [at for at, why in reasons.items() if why == batch.NOT_THEIRS] == [1, 3]
    assert reasons.keys() == {1, 2, 3, 4}
    assert world.rows("SELECT organisation FROM inbox WHERE state = 'quarantined' ORDER BY 1") == [("acme",), (None,)]
