"""What an event waits for, as it is kept (R6): what was kept in a text is kept in columns."""

from importlib import import_module
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import text

import migrations
from tasks.events import Awaited, inbox
from tests.world import World

#: What was waited for, in a text, and the columns that it becomes: kind, organisation, id, course, cycle, learner.
KEYS = {
    "organisation:a:b": ("organisation", 0, "a:b", None, None, None),
    "learner:7:x:y": ("learner", 7, "x:y", None, None, None),
    "course:7:c": ("course", 7, "c", None, None, None),
    "segment:7:organisation:1": ("segment", 7, "organisation:1", None, None, None),
    "enrolment:7:1:2:3": ("enrolment", 7, None, 1, 2, 3),
    "status:7:3": ("status", 7, None, None, None, 3),
    "turn:7:": ("turn", 7, None, None, None, None),
    None: (None, None, None, None, None, None),
}
COLUMNS = "awaits, awaits_organisation, awaits_id, awaits_course, awaits_cycle, awaits_learner"


def test_r06_what_waited_before_waits_for_the_same(world: World) -> None:
    [file] = (Path(migrations.__file__).parent / "versions").glob("*_awaited.py")
    module = import_module(f"migrations.versions.{file.stem}")
    with world.runtime.engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        connection.execute(text("DELETE FROM inbox"))
        module.downgrade()
        insert = text("INSERT INTO inbox (source, id, state, waits_for) VALUES ('s', :id, 'waiting', :key)")
        connection.execute(insert, [{"id": str(n), "key": key} for n, key in enumerate(KEYS)])

        module.upgrade()
        typed = connection.execute(text(f"SELECT {COLUMNS} FROM inbox ORDER BY seq")).all()
        module.downgrade()
        texts = connection.execute(text("SELECT waits_for FROM inbox ORDER BY seq")).scalars().all()

    assert [tuple(row) for row in typed] == list(KEYS.values())
    assert texts == list(KEYS)


def test_r31_what_is_read_of_what_waited_is_bounded_by_its_octets_too(world: World) -> None:
    padding = "x" * (inbox.FREED_OCTETS // 4)
    waiting = [
        world.event(
            "enrolment.requested", {"request": f"r{n}", "course": "c", "learners": ["A"], "tab": "all", "note": padding}
        )
        for n in range(10)
    ]
    world.has_learners("A")
    world.send(*waiting)

    with world.about() as (connection, org):
        page = inbox.waiting_for(connection, [Awaited.saved_course(org.organisation, "c")], [], 500)
    assert 0 < sum(len(one.body) for one in page.stored) <= inbox.FREED_OCTETS + 2 * len(padding)
    assert page.more

    world.has_course("c")
    world.settle()
    assert world.quarantine() == {}
    assert world.ask("SELECT count(*) FROM fanouts") == len(waiting)
