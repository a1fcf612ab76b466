"""The way from the bytes of an event to what handles it: a stranger must be able to follow it."""

import traceback
from pathlib import Path

import pytest

from tests.events.handling import before_each
from tests.world import World


def test_a_batch_goes_through_three_functions_before_a_handler_sees_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    before_each(
        monkeypatch,
        lambda _events: seen.append(
            [
                frame.name
                for frame in traceback.extract_stack()
                if Path(frame.filename).parent.name == "intake" and not frame.name.startswith("<")
            ]
        ),
    )

    world.has_learners("A")

    assert seen == [["process_batch", "store_part", "apply"]]
