"""The table of work: turns, leases and fences: R31, R33."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from config.database import lock_organisations, transaction
from config.settings import Settings
from tasks import work
from tasks.mail.actors import deliver
from tasks.work.backlog import Load, loads
from tasks.work.store import LostLease, Piece, claim, offer
from tests.mail.background import DEADLINE
from tests.workers.deployment import until
from tests.world import World, work_on

MINUTE = timedelta(minutes=1)


def due(world: World, organisation: int, pieces: int, queue: str = "bulk") -> None:
    """This much is to be done for an organisation."""
    with transaction(world.runtime.engine, organisation) as connection:
        work.add(connection, organisation, queue, "mail.deliver", 1, [(n, n) for n in range(pieces)])


def offered(world: World, bound: int = 8, repeat: timedelta = MINUTE) -> list[tuple[int, int]]:
    """What is offered now: pairs of organisation and piece."""
    with transaction(world.runtime.engine) as connection:
        return sorted((it.organisation, it.work) for it in offer(connection, "bulk", bound=bound, repeat=repeat))


def test_r33_work_whose_subject_is_gone_is_done(world: World) -> None:
    with transaction(world.runtime.engine, 1) as connection:
        for actor in ("announcements.launch", "enrolments.survey", "enrolments.chunk", "imports.run", "learners.erase"):
            work.add(connection, 1, "tasks", actor, 999)

    world.settle()

    assert world.list("SELECT actor FROM work") == []


def test_r31_whoever_changes_or_judges_what_is_known_waits_for_whoever_is_changing_it(world: World) -> None:
    actors = ["announcements.survey", "announcements.audience", "announcements.launch", "enrolments.chunk"]
    actors += ["events.retake", "events.take_turn"]
    with transaction(world.runtime.engine, 1) as connection:
        for actor in actors:
            work.add(connection, 1, "tasks", actor, 999)

    for actor, piece in world.rows("SELECT actor, work FROM work"):
        doing = threading.Thread(target=work_on, args=(world.runtime, actor, 1, piece))
        with transaction(world.runtime.engine) as connection:
            lock_organisations(connection, [1])
            doing.start()
            while not world.waiting():
                assert doing.is_alive(), actor
        doing.join()


def organisations(offers: list[tuple[int, int]]) -> list[int]:
    return [organisation for organisation, _ in offers]


def taken(world: World, offer_: tuple[int, int], lease: timedelta = MINUTE) -> Piece:
    with transaction(world.runtime.engine, offer_[0]) as connection:
        piece = claim(connection, *offer_, lease)
    assert piece is not None
    return piece


def finish(world: World, piece: Piece) -> None:
    with transaction(world.runtime.engine, piece.organisation) as connection:
        work.finish(connection, piece)


def test_r31_what_a_piece_consists_of_keeps_its_place_and_goes_lowest_first(world: World) -> None:
    """Rows that are written in the order of an index cost it least, whoever finds out first what is to be done."""
    with transaction(world.runtime.engine, 1) as connection:
        work.add(connection, 1, "bulk", "mail.deliver", 1, [(1, 10), (11, 20)])
    first, second = (taken(world, it) for it in offered(world))
    due(world, 1, 5)
    for whole, parts in (second, [(16, 20), (11, 15)]), (first, [(1, 5), (6, 10)]):
        with transaction(world.runtime.engine, 1) as connection:
            work.add(connection, 1, "bulk", "mail.deliver", 1, parts, part_of=whole)
            work.finish(connection, whole)

    begun = []
    for _ in range(4):
        [next_] = offered(world, bound=1)
        begun.append(taken(world, next_))
        finish(world, begun[-1])

    assert [it.low for it in begun] == [1, 6, 11, 16]


def test_r31_organisations_take_turns(world: World) -> None:
    due(world, 1, 100)
    due(world, 2, 2)
    due(world, 3, 1)

    assert organisations(offered(world)) == [1, 1, 1, 1, 1, 2, 2, 3]
    assert offered(world) == [], "no more than the bound"


def test_r31_who_comes_later_is_next(world: World) -> None:
    due(world, 1, 100)
    first = offered(world)
    due(world, 2, 10)
    assert offered(world) == []

    finish(world, taken(world, first[0]))
    finish(world, taken(world, first[1]))

    assert organisations(offered(world)) == [2, 2]


def test_r31_what_goes_ahead_goes_before_its_own_organisations_and_not_before_anothers(world: World) -> None:
    due(world, 1, 3)
    due(world, 2, 1)
    with transaction(world.runtime.engine, 1) as connection:
        work.add(connection, 1, "bulk", "events.take_turn", 0, ahead=True)
    with transaction(world.runtime.engine, 3) as connection:
        work.add(connection, 3, "bulk", "events.take_turn", 0, ahead=True)

    first = offered(world, bound=2)
    assert organisations(first) == [1, 2]
    assert taken(world, first[0]).actor == "events.take_turn"
    with transaction(world.runtime.engine) as connection:
        (load,) = loads(connection)
        assert (load.oldest_due_seconds or 0) < 3600, "it is as old as it is"


def test_r31_what_waits_longer_than_its_offer_keeps_its_place_and_takes_no_other(world: World) -> None:
    due(world, 1, 100)
    first = offered(world, repeat=timedelta())

    assert offered(world, repeat=timedelta()) == first, "the same wake-ups again, and no others"
    with transaction(world.runtime.engine) as connection:
        assert {it.again for it in offer(connection, "bulk", bound=8, repeat=timedelta())} == {True}
    due(world, 2, 1)
    finish(world, taken(world, first[0]))
    assert organisations(offered(world)) == [1] * 7 + [2]


def test_r31_one_queue_does_not_fill_another(world: World) -> None:
    due(world, 1, 100)
    due(world, 1, 1, queue="mail")
    offered(world)

    with transaction(world.runtime.engine) as connection:
        assert len(offer(connection, "mail", bound=8, repeat=MINUTE)) == 1


def test_r33_a_piece_is_claimed_once_and_again_when_its_lease_ran_out(world: World) -> None:
    due(world, 1, 1)
    (one,) = offered(world)
    first = taken(world, one, lease=timedelta())
    assert offered(world) == [one]
    second = taken(world, one)

    with transaction(world.runtime.engine, one[0]) as connection:
        assert claim(connection, *one, MINUTE) is None
    for write in (work.finish, lambda c, p: work.mark(c, p, 1, MINUTE), lambda c, p: work.extend(c, p, MINUTE)):
        with pytest.raises(LostLease), transaction(world.runtime.engine, first.organisation) as connection:
            write(connection, first)
    finish(world, second)
    assert world.ask("SELECT count(*) FROM work") == 0


def test_r33_who_is_alive_after_all_keeps_a_piece_that_was_offered_again(world: World) -> None:
    due(world, 1, 1)
    (one,) = offered(world)
    piece = taken(world, one, lease=timedelta())
    assert offered(world) == [one]

    with transaction(world.runtime.engine, piece.organisation) as connection:
        work.extend(connection, piece, MINUTE)

    with transaction(world.runtime.engine, one[0]) as connection:
        assert claim(connection, *one, MINUTE) is None


def test_r33_what_is_begun_while_it_is_being_offered_is_not_offered(world: World) -> None:
    """A wake-up may be there twice: whoever had it first would lose the piece to the second."""
    due(world, 1, 1)
    (one,) = offered(world, repeat=timedelta())
    offers: list[tuple[int, int]] = []
    relay = threading.Thread(target=lambda: offers.extend(offered(world)))

    with transaction(world.runtime.engine, one[0]) as connection:
        assert claim(connection, *one, MINUTE) is not None
        relay.start()
        until(lambda: world.waiting() > 0, "the relay waits")
    relay.join()

    assert offers == []
    assert world.list("SELECT state FROM work") == ["running"]


def test_r33_what_was_given_back_is_no_longer_ours(world: World) -> None:
    due(world, 1, 1)
    (one,) = offered(world)
    piece = taken(world, one)
    with transaction(world.runtime.engine, piece.organisation) as connection:
        work.release(connection, piece, after=timedelta(), failed=False)

    with pytest.raises(LostLease), transaction(world.runtime.engine, piece.organisation) as connection:
        work.extend(connection, piece, MINUTE)
    assert world.rows("SELECT state, due_at <= now() FROM work") == [("due", True)]


class TestShortLease:
    """A lease shorter than the work."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"rollcall_lease_seconds": 0.3})

    def test_r33_whatever_takes_longer_than_its_lease_is_kept(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, over = threading.Event(), threading.Event()

        def slow(runtime: object, piece: Piece) -> None:
            begun.set()
            assert over.wait(DEADLINE)
            finish(world, piece)

        monkeypatch.setattr(deliver, "fn", slow)
        due(world, 1, 1)
        (one,) = offered(world)
        worker = threading.Thread(target=work_on, args=(world.runtime, "mail.deliver", *one))
        worker.start()
        assert begun.wait(DEADLINE)
        leases = {world.ask("SELECT due_at FROM work")}
        while len(leases) < 10:  # three times the lease, in beats of a third of it
            with transaction(world.runtime.engine, one[0]) as connection:
                assert claim(connection, *one, MINUTE) is None, "its lease ran out"
            leases.add(world.ask("SELECT due_at FROM work"))
        over.set()
        worker.join(DEADLINE)
        assert world.ask("SELECT count(*) FROM work") == 0


def load(world: World) -> Load:
    """How the one queue stands that has work."""
    with transaction(world.runtime.engine) as connection:
        (found,) = loads(connection)
    return found


def test_due_work_keeps_its_age_however_often_it_is_offered_and_is_in_flight_once_it_is_begun(world: World) -> None:
    due(world, 1, 2)
    world.execute("UPDATE work SET due_at = due_at - interval '5 seconds', since = since - interval '5 seconds'")

    first, _ = offered(world)

    waiting = load(world)
    assert (waiting.due, waiting.in_flight, waiting.resting) == (2, 0, 0)
    assert waiting.oldest_due_seconds is not None
    assert waiting.oldest_due_seconds >= 5
    assert offered(world, repeat=timedelta()) == []
    begun = taken(world, first)
    assert (load(world).due, load(world).in_flight) == (1, 1)
    finish(world, begun)
    assert (load(world).due, load(world).in_flight) == (1, 0)
    assert (load(world).oldest_due_seconds or 0) >= 5


def test_work_whose_worker_died_is_as_old_as_when_it_was_first_due(world: World) -> None:
    due(world, 1, 1)
    world.execute("UPDATE work SET since = since - interval '20 seconds'")
    (one,) = offered(world)
    taken(world, one, lease=timedelta())

    found = load(world)

    assert (found.due, found.in_flight) == (1, 0)
    assert (found.oldest_due_seconds or 0) >= 20


def test_a_queue_is_stalled_if_work_waits_and_nobody_begins_any(world: World) -> None:
    due(world, 1, 3)
    first, second, _ = offered(world)
    assert not load(world).stalled, "it is new"

    world.execute("UPDATE work SET since = since - interval '11 seconds'")
    assert load(world).stalled, "nobody ever began any"
    begun = taken(world, first)
    assert not load(world).stalled, "one is being worked on"
    finish(world, begun)
    assert not load(world).stalled, "somebody began one just now: it is a backlog"
    world.execute("UPDATE pools SET claimed_at = claimed_at - interval '11 seconds'")
    assert load(world).stalled, "whoever did is gone"
    finish(world, taken(world, second))
    assert not load(world).stalled


def test_what_is_scheduled_and_what_is_paused_is_not_stalled(world: World) -> None:
    with transaction(world.runtime.engine, 1) as connection:
        at = datetime.now(UTC) + timedelta(hours=1)
        work.add(connection, 1, "tasks", "announcements.launch", 1, scheduled_for=at)
    world.execute("UPDATE work SET since = since - interval '1 day'")
    assert load(world) == Load("tasks", 0, None, 0, 1, failing=0, stalled=False)

    world.execute("UPDATE work SET state = 'held', due_at = 'infinity'")
    assert load(world) == Load("tasks", 0, None, 0, 1, failing=0, stalled=False)

    world.execute("UPDATE work SET state = 'scheduled', due_at = now()")
    assert load(world).unoffered, "no relay wakes anybody for it"
    assert not load(world).stalled, "no pool was woken"
    offered(world)
