"""R34: the audit log is kept for as long as is set and no longer; nobody fills it with what was refused."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from config.database import enter_tenant_role, scoped
from config.errors import Forbidden
from tasks import acts
from tasks.accounts import Caller, Door, Role
from tasks.acts.acting import perform
from tasks.audit import store
from tests.world import World
from workers.relay.audit import KeepAudit

READER = Caller("eve", Door.API, Role.READER, frozenset({"acme"}), "192.0.2.1")

#: Entries of so many days ago, of several organisations, and two of now.
OLD = """
    INSERT INTO audit (organisation, at, who, door, act, outcome)
    SELECT days % 2, now() - make_interval(days => days), 'root', 'command', 'learners.activate', 'done'
    FROM unnest(CAST(:days AS int[])) days
"""


def kept(world: World) -> list[int]:
    """How many days old the entries are."""
    return world.list("SELECT CAST(extract(day FROM now() - at) AS int) FROM audit ORDER BY 1")


def keep(world: World, days: int) -> float | None:
    """The relay's chore, once; when it is due again."""
    settings = world.runtime.settings.model_copy(update={"rollcall_keep_audit_days": days})
    return KeepAudit(type(world.runtime)(settings, world.runtime.endpoints, world.runtime.engine)).do()


def test_r34_what_is_older_than_is_set_is_dropped_and_nothing_else(world: World) -> None:
    world.execute(OLD, days=[0, 1, 29, 31, 729, 731, 2000])
    keep(world, 730)
    assert kept(world) == [0, 1, 29, 31, 729]
    keep(world, 30)
    assert kept(world) == [0, 1, 29]


def test_r34_a_long_log_is_dropped_in_steps_by_an_index(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST", 3)
    world.execute(OLD, days=[*range(40, 47), 5])

    steps = [keep(world, 30) for _ in range(4)]
    assert steps == [0.0, 0.0, None, None]
    assert kept(world) == [5]


@pytest.mark.parametrize("mode", ["origin", "replica"])
@pytest.mark.parametrize("until", ["", "2000-01-01", "infinity"])
def test_r34_nobody_else_drops_anything(world: World, mode: str, until: str) -> None:
    world.execute(OLD, days=[0, 800])
    for people in (False, True):
        for statement in ("DELETE FROM audit", "TRUNCATE audit", "UPDATE audit SET who = 'x'"):
            with world.runtime.engine.connect() as connection, scoped(connection, 1):
                connection.execute(text(f"SET LOCAL session_replication_role = {mode}"))
                connection.execute(text("SELECT set_config('rollcall.audit_until', :until, true)"), {"until": until})
                if people:
                    enter_tenant_role(connection, 1)
                with pytest.raises(ProgrammingError) as refused:
                    connection.execute(text(statement))
                assert isinstance(refused.value.orig, psycopg.errors.InsufficientPrivilege)
    assert kept(world) == [0, 800]


def test_r31_an_organisations_people_may_not_ask_for_it(world: World) -> None:
    with world.runtime.engine.connect() as connection, scoped(connection, 1):
        enter_tenant_role(connection, 1)
        with pytest.raises(ProgrammingError, match="permission denied for function forget_audit"):
            connection.execute(text("SELECT forget_audit(730, 10)"))


def test_r34_not_even_the_chore_drops_what_is_of_today(world: World) -> None:
    world.execute(OLD, days=[0, 2])
    with world.runtime.engine.connect() as connection, pytest.raises(Exception, match="at least a day"):
        connection.execute(text("SELECT forget_audit(0, 10)"))
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        type(world.runtime.settings)(rollcall_keep_audit_days=0)
    assert kept(world) == [0, 2]


def refused(world: World, caller: Caller = READER, name: str = "learners.activate") -> None:
    act = acts.every()[name]
    with pytest.raises(Forbidden):
        perform(world.runtime, caller, act, act.takes("A"), "acme")


def written(world: World) -> list[tuple[object, ...]]:
    return [*world.rows("SELECT who, address, act, outcome FROM audit ORDER BY at, id")]


def test_r34_of_many_refused_attempts_some_are_written_and_the_rest_are_counted(world: World) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: refused(world), range(store.MOST_REFUSED + 25)))
    one = ("eve", "192.0.2.1", "learners.activate", "refused: Forbidden")
    assert written(world) == [one] * store.MOST_REFUSED
    keep(world, 730)
    assert len(written(world)) == store.MOST_REFUSED, "the minute is not over"
    world.execute("UPDATE audit_refusals SET since = since - interval '61 seconds'")
    keep(world, 730)
    assert written(world)[-1] == ("eve", "192.0.2.1", "audit.left_out", "refused: 25 more")
    (said,) = world.list("SELECT after FROM audit WHERE act = 'audit.left_out'")
    assert said["left_out"] == 25
    assert world.ask("SELECT count(*) FROM audit_refusals") == 0
    refused(world)
    assert written(world)[-1] == one
    world.execute("UPDATE audit_refusals SET since = since - interval '61 seconds'")
    keep(world, 730)
    assert written(world)[-1] == one, "nothing was left out"


def test_r34_who_is_refused_too_often_takes_no_entry_from_anybody_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_REFUSED", 2)
    others = [
        Caller("bob", Door.API, Role.READER, frozenset({"acme"}), "192.0.2.1"),
        Caller("eve", Door.API, Role.READER, frozenset({"acme"}), "192.0.2.2"),
        Caller("eve", Door.COMMAND, Role.READER, frozenset({"acme"}), None),
        Caller("eve", Door.API, Role.READER, frozenset({"acme"}), "2001:db8::1"),
    ]
    for _ in range(5):
        refused(world)
    for caller in others:
        refused(world, caller)
    near = Caller("eve", Door.API, Role.READER, frozenset({"acme"}), "2001:db8::2")
    for _ in range(3):
        refused(world, near)

    assert [row[:2] for row in written(world)] == [
        ("eve", "192.0.2.1"), ("eve", "192.0.2.1"),
        ("bob", "192.0.2.1"), ("eve", "192.0.2.2"), ("eve", None), ("eve", "2001:db8::1"), ("eve", "2001:db8::2"),
    ]  # fmt: skip


def test_what_is_done_is_written_however_often(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_REFUSED", 0)
    world.has_learners("A")
    root = Caller("root", Door.API, Role.OPERATOR)
    act = acts.every()["learners.deactivate"]
    perform(world.runtime, root, act, act.takes("A"), "acme")
    assert [row[3] for row in written(world)] == ["begun", "done"]
    refused(world)
    assert len(written(world)) == 2
