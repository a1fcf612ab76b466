"""Whatever is raised while an event is applied, that event alone is set aside: R31, R32."""

import threading
from collections.abc import Sequence

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError
from structlog.testing import capture_logs

from config.database import transaction
from config.locks import ORGANISATION_LOCK
from tasks.events import Event, EventRef
from tasks.intake import NotResolved, batch, process_batch, release, set_aside
from tests.events.handling import before_each, raises_for
from tests.workers.deployment import DEADLINE, until
from tests.world import World, id_of

#: What a database may say about one statement: its encoding, memory, limits, a trigger, a bug of the database, a race
#: that is lost every time, a feature it lacks, a statement that is cancelled.
STATES = ["22021", "53200", "53400", "54001", "P0001", "XX000", "23505", "0A000", "57014"]


def test_r31_whatever_the_database_says_of_one_event_the_others_of_its_batch_are_taken(world: World) -> None:
    raises_for(world, "learners", "username", STATES)
    bad = [world.event("learner.saved", world.learner(f"bad-{state}", username=state)) for state in STATES]
    good = [world.event("learner.saved", world.learner(f"good-{n}")) for n in range(3)]

    taken = world.send(*good[:2], *bad, good[2])

    assert taken.new == len(bad) + len(good)
    assert set(world.list("SELECT id FROM learners WHERE standing = 'active'")) == {"good-0", "good-1", "good-2"}
    held = world.quarantine()
    assert {id_: (one.state, one.reason) for id_, one in held.items()} == {
        id_of(body): ("quarantined", "internal error") for body in bad
    }


class Odd(Exception):
    """Nobody's exception."""


RAISED = [RuntimeError("generator raised StopIteration"), RecursionError(), MemoryError(), KeyError("a"), Odd("Ada")]
RAISED += [UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), StopIteration(), OSError(28, "full")]


@pytest.fixture
def odd_effects(monkeypatch: pytest.MonkeyPatch) -> dict[str, Exception]:
    """What to raise while an event is applied, by its id."""
    raised: dict[str, Exception] = {}

    def raising(wave: Sequence[Event]) -> None:
        for event in wave:
            if event.id in raised:
                raise raised[event.id]

    before_each(monkeypatch, raising)
    return raised


def test_r31_whatever_is_raised_by_one_event_the_others_of_its_batch_are_taken(
    world: World, odd_effects: dict[str, Exception]
) -> None:
    bad = [world.event("learner.saved", world.learner(f"bad-{n}")) for n in range(len(RAISED))]
    odd_effects |= {id_of(body): problem for body, problem in zip(bad, RAISED, strict=True)}

    with capture_logs() as lines:
        world.send(
            world.event("learner.saved", world.learner("before")),
            *bad,
            world.event("learner.saved", world.learner("behind")),
        )

    assert set(world.list("SELECT id FROM learners WHERE standing = 'active'")) == {"before", "behind"}
    assert {one.reason for one in world.quarantine().values()} == {"internal error"}
    assert set(world.quarantine()) == {id_of(body) for body in bad}
    assert "Ada" not in str(lines)


def test_r31_what_waited_is_set_aside_by_itself_whatever_it_raises(
    world: World, odd_effects: dict[str, Exception]
) -> None:
    raises_for(world, "fanouts", "request", STATES)
    world.has_learners("A", "B")
    bad = [world.asks_to_enrol("safety", "A", request=state) for state in ("23505", "57014", "53200")]
    good = world.asks_to_enrol("safety", "B")
    odd = world.asks_to_enrol("safety", "A", request="odd")
    odd_effects[id_of(odd)] = RecursionError()

    world.has_course("safety")

    assert set(world.quarantine()) == {id_of(body) for body in (*bad, odd)}
    assert {one.reason for one in world.quarantine().values()} == {"internal error"}
    assert id_of(good) not in world.quarantine()
    assert world.access("B") == {"safety"}


@pytest.mark.parametrize("before", [0, 1])
def test_r31_what_waited_and_loses_its_race_each_time_is_set_aside_and_what_freed_it_is_not(
    world: World, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """Behind another it is too much at once, and a worker takes it."""
    for module in ("waiting", "actors"):
        monkeypatch.setattr(f"tasks.intake.{module}.MOST_FREED", 1)
    raises_for(world, "fanouts", "request", ["40001"])
    world.has_learners("A")
    for _ in range(before):
        world.asks_to_enrol("safety", "A")
    bad = world.asks_to_enrol("safety", "A", request="40001")
    tries: list[str] = []
    before_each(monkeypatch, lambda wave: tries.extend(event.id for event in wave if event.id == id_of(bad)))

    with capture_logs() as lines:
        world.has_course("safety")
        world.settle()

    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["events.stored_not_applied"]
    assert {id_: one.reason for id_, one in world.quarantine().items()} == {id_of(bad): "internal error"}
    assert len(tries) == batch.RACES + 1
    assert world.list("SELECT id FROM courses") == ["safety"]


def test_r33_what_waited_goes_on_waiting_where_nothing_is_wrong_with_it(world: World) -> None:
    raises_for(world, "fanouts", "request", ["55P03"])
    world.has_learners("A")
    request = world.asks_to_enrol("safety", "A", request="55P03")

    with pytest.raises(OperationalError):
        world.has_course("safety")

    assert world.quarantine()[id_of(request)].reason == "unknown course"
    world.execute("DROP TRIGGER refuse ON fanouts")
    world.has_course("safety")
    assert world.access("A") == {"safety"}


def test_r06_what_others_make_known_beside_one_that_raises_frees_what_waits_for_it(
    world: World, odd_effects: dict[str, Exception]
) -> None:
    """All of it waited for the course, and is applied in parts: what one part makes known, another waits for."""
    world.has_learners("A", "B")
    start = world.starts("B", "safety")
    world.send(
        world.event("course.completed", {"learner": "B", "course": "safety"}),
        world.event("enrolment.requested", {"request": "r", "course": "safety", "learners": ["B"], "tab": "all"}),
    )
    odd = world.asks_to_enrol("safety", "A", request="odd")
    odd_effects[id_of(odd)] = RecursionError()

    world.has_course("safety")

    assert world.quarantine().keys() == {id_of(odd)}
    assert [entry.event for entry in world.ledger()] == [id_of(start)]


def test_s08_of_what_waited_and_is_applied_in_parts_the_admins_get_one_mail(
    empty_world: World, odd_effects: dict[str, Exception]
) -> None:
    """All of it waited for the organisation. What the first part waits for, the last makes known (R6)."""
    world = empty_world
    world.asks_to_enrol("safety", "U1", "U2")
    for id_ in ("U1", "U2"):
        world.has_learners(id_, email=None, status="inactive")
        world.becomes("active", id_)
    odd = world.event("learner.saved", world.learner("odd"))
    odd_effects[id_of(odd)] = RecursionError()
    world.send(odd)
    world.has_course("safety")

    world.has_organisation()
    world.settle()

    assert world.quarantine().keys() == {id_of(odd)}
    assert world.access("U1") == world.access("U2") == {"safety"}
    [message] = world.mail.to("admin@acme.example")
    text = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert all(f"user-{id_}" in text for id_ in ("U1", "U2"))


def test_r31_what_waited_is_set_aside_by_itself_though_it_fails_later_than_it_is_said(world: World) -> None:
    """What goes out is written with the statement behind it: no later than what waited is applied."""
    world.has_learners("A", "B")
    world.has_course("safety")
    bad = world.starts("A", "safety")
    world.starts("B", "safety")
    world.execute("ALTER TABLE outbox ADD CHECK (type <> 'rollcall.seat.consumed' OR data ->> 'learner' <> 'A')")

    world.asks_to_enrol("safety", "A", "B")

    assert {id_: one.reason for id_, one in world.quarantine().items()} == {id_of(bad): "internal error"}
    assert world.access("A") == world.access("B") == {"safety"}
    assert world.ask("SELECT count(*) FROM consumptions") == 1


def test_r31_a_connection_that_is_lost_meanwhile_is_laid_at_nobodys_door(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where PostgreSQL is stopped, or a transaction was idle for too long."""
    lost: list[int] = []

    def lose(_wave: Sequence[Event]) -> None:
        if not lost:
            lost.extend(
                world.list(
                    """
                    WITH idle AS MATERIALIZED (
                        SELECT pid FROM pg_stat_activity
                        WHERE datname = current_database() AND state = 'idle in transaction')
                    SELECT pid FROM idle WHERE pg_terminate_backend(pid, 5000)
                    """
                )
            )

    before_each(monkeypatch, lose)

    taken = world.send(*(world.event("learner.saved", world.learner(id_)) for id_ in "AB"))

    assert len(lost) == 1
    assert (taken.new, taken.deferred) == (2, 0)
    assert world.quarantine() == {}
    assert world.list("SELECT id FROM learners ORDER BY id") == ["A", "B"]


def test_r27_what_cannot_be_released_stays_as_it_was_whatever_it_raises(
    world: World, odd_effects: dict[str, Exception]
) -> None:
    world.has_learners("A", status="inactive")
    world.has_course("safety", "everyone")
    start = world.starts("A", "safety")
    odd_effects[id_of(start)] = MemoryError()

    with pytest.raises(NotResolved, match="cannot be taken even so"):
        release(world.runtime.engine, world.runtime.settings, EventRef(id_of(start)), by="ann", why="it counts")

    assert world.quarantine()[id_of(start)].reason == "learner inactive"


def test_r32_one_malformed_entry_that_cannot_be_stored_harms_no_other(world: World) -> None:
    world.execute("ALTER TABLE inbox ADD CHECK (detail NOT LIKE '%exploded%')")

    saved = world.event("learner.saved", {"learner": "A"})
    with capture_logs() as lines:
        taken = world.send(world.event("course.exploded", {}), b"{not json", saved)

    assert (taken.new, taken.malformed) == (1, 2)
    assert world.rows("SELECT reason, type, source, id, left(detail, 8) FROM inbox WHERE body IS NOT NULL") == [
        ("malformed", None, "", "", "what cou"),
        ("malformed", None, "", "", "not JSON"),
    ]
    assert [line["events"] for line in lines if line["event"] == "events.not_set_aside"] == [2, 1]
    assert "check constraint" in lines[0]["says"]


def test_r33_what_is_no_event_and_cannot_be_stored_now_is_to_be_sent_again(world: World) -> None:
    """Whether nothing is wrong with it, or nothing of the kind can be stored."""
    raises_for(world, "inbox", "detail", ["55P03"])
    with capture_logs() as lines, pytest.raises(OperationalError):
        set_aside(world.runtime.engine, [(b"{", "55P03"), (b"[", "55P03")])
    assert lines == []

    world.execute("ALTER TABLE inbox ADD CHECK (reason <> 'malformed')")
    with pytest.raises(IntegrityError):
        set_aside(world.runtime.engine, [(b"{", "no JSON"), (b"[", "no JSON")])


def test_r31_what_cannot_be_an_event_is_kept_of_those_alone_who_may_send_it(world: World) -> None:
    said = [(b'{"organisation": "acme"}', "a"), (b'{"organisation": "globex"}', "b"), (b"{", "c")]

    set_aside(world.runtime.engine, said, only={"acme"})

    assert world.rows("SELECT organisation, detail FROM inbox WHERE body IS NOT NULL ORDER BY detail") == [
        ("acme", "a"),
        (None, "c"),
    ]


def test_r31_who_waits_in_vain_for_an_organisation_that_is_being_changed_is_not_to_blame(world: World) -> None:
    event = world.event("learner.saved", world.learner("A"))
    raised: list[Exception] = []

    def send() -> None:
        try:
            process_batch(world.runtime.engine, world.runtime.settings, [event], at_once=True)
        except OperationalError as problem:
            raised.append(problem)

    sending = threading.Thread(target=send)
    with transaction(world.runtime.engine) as holder:
        holder.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ORGANISATION_LOCK}, 1)")
        sending.start()
        cancel = """
            SELECT count(pg_cancel_backend(pid)) FROM pg_locks JOIN pg_database d ON d.oid = database
            WHERE d.datname = current_database() AND locktype = 'advisory' AND NOT granted"""
        until(lambda: not (world.ask(cancel) >= 0 and sending.is_alive()), "it gives up waiting", seconds=DEADLINE)
        sending.join()

    assert len(raised) == 1
    assert world.quarantine() == {}
    assert world.send(event).new == 1
