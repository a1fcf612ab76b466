"""Every type of event out is said, and is what its type says; `World` checks each one that is published."""

import json
from typing import Any

import msgspec
import pytest

from tasks.announcements import cancel, find
from tasks.events.outgoing import TYPES_OUT
from tests.outgoing import checked
from tests.world import World


def test_all_that_can_be_said_is_said(world: World) -> None:
    world.has_learners("A")
    world.has_learners("B", email=None)
    world.has_course("all", "everyone")
    world.has_course("one")
    world.asks_to_enrol("one", "A", "nobody")
    world.becomes("inactive", "B")
    world.becomes("active", "B")
    world.has_organisation("credits", 1)
    world.starts("A", "all")
    world.announces("sent")
    world.announces("not sent")
    with world.about() as (connection, organisation):
        found = find(connection, organisation.organisation, "not sent")
        assert found is not None
        cancel(connection, organisation.organisation, found, by="an admin")
    world.send(b"no event")

    world.settle()

    assert {event["type"] for event in world.out()} == set(TYPES_OUT) - {"rollcall.webhook.disabled"}


SAID: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "rollcall",
    "type": "rollcall.access.suspended",
    "time": "2026-01-10T09:00:00.000000Z",
    "organisation": "acme",
    "datacontenttype": "application/json",
    "data": {"learner": "A"},
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "rollcall.access.mentioned"},
        {"data": {}},
        {"data": {"learner": "A", "username": "a"}},
        {"data": {"learner": 1}},
        {"subject": "A"},
        {"source": "platform"},
    ],
)
def test_what_is_not_as_its_type_says_does_not_pass(wrong: dict[str, object]) -> None:
    checked(json.dumps(SAID).encode())

    with pytest.raises((AssertionError, msgspec.ValidationError)):
        checked(json.dumps(SAID | wrong).encode())
