"""Learners whom nothing named before they were described are written at once, and end as those do who were named."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.world import World

MOMENT = datetime.now(UTC) - timedelta(hours=1)

#: All that is written of learners but who they are, by table.
WRITTEN = {
    "learners": "SELECT to_jsonb(t) - ARRAY['learner', 'id'] FROM learners t ORDER BY id",
    "status_changes": "SELECT to_jsonb(t) - ARRAY['learner', 'cause'] FROM status_changes t ORDER BY learner",
    "enrolments": "SELECT to_jsonb(t) - ARRAY['learner', 'notice'] FROM enrolments t ORDER BY learner",
    "deliveries": "SELECT to_jsonb(t) - ARRAY['recipient', 'mailing'] FROM deliveries t ORDER BY recipient",
}


@pytest.mark.parametrize(
    "rules_since", [timedelta(hours=-1), timedelta(minutes=1)], ids=["rules before", "rules after"]
)
@pytest.mark.parametrize(
    "said",
    [
        {},
        {"status": "active"},
        {"status": "inactive"},
        {"status": "inactive", "version": 7},
        {"version": 3, "email": ""},
    ],
    ids=str,
)
def test_s02_whoever_is_new_ends_as_whoever_was_named_before(
    world: World, said: dict[str, object], rules_since: timedelta
) -> None:
    world.has_course("safety", "everyone", at=MOMENT + rules_since)
    world.has_segment("named", "A")
    description = {"username": "u", "email": "e@acme.example", "first_name": "F", "last_name": None} | said

    world.has_learners("A", "B", at=MOMENT, **description)

    written = {table: world.list(query) for table, query in WRITTEN.items()}
    assert {table: len(rows) for table, rows in written.items()} == {
        "learners": 2,
        "status_changes": 2 * ("status" in said),
        "enrolments": 2,
        "deliveries": 0 if said.get("status") == "inactive" else 2,
    }
    assert {table: rows[:1] for table, rows in written.items()} == {table: rows[1:] for table, rows in written.items()}


def test_whoever_is_new_is_not_to_be_indexed_twice(world: World) -> None:
    world.has_learners("A", "B")

    assert world.ask("SELECT count(*) FROM unsearchable") == 0
