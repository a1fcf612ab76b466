"""What takes down the process that tries it is set aside, by itself and without hands: R31, R32, R33.

The processes are real, and so is their end: while one waits for a lock that the test holds, it is killed.
"""

import http.client
import multiprocessing
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess

import psutil
import pytest
from psycopg import connect

from config.database import transaction
from config.engine import make_engine
from config.locks import ORGANISATION_LOCK
from config.runtime import Endpoints, Runtime
from config.settings import Settings
from config.streams import GROUP, IN
from tasks import work
from tasks.events import Event, EventRef, read_stored, turns
from tasks.intake import actors, release
from tasks.work.backlog import loads, unfinished
from tasks.work.store import FIRST_ASIDE, MOST_ALONE, offer
from tests.mailserver import free_port
from tests.workers.deployment import LOOK, until
from tests.workers.posting import BATCH, Platform, batch
from tests.world import World, id_of, work_on
from workers import ingress
from workers.suspects import MOST_TRIES
from workers.web import app

_clean = multiprocessing.get_context("forkserver")
_clean.set_forkserver_preload([__name__])  # with all that it imports: it would be imported for each process


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Whoever is silent for long is dead."""
    return settings.model_copy(update={"rollcall_lease_seconds": 0.3})


#: The connections of the process that is killed.
_ITS = "application_name IN ('rollcall killed', 'rollcall web posts') AND datname = current_database()"

#: Who holds what it waits for.
_HOLDER = "the test"


def _run(target: Callable[[Runtime], None], settings: Settings, endpoints: Endpoints) -> None:
    target(Runtime(settings, endpoints, make_engine(endpoints.database_url, role="killed")))


@dataclass
class Killed:
    """A process that is killed whenever it waits for what the test holds, or `ends` by itself, and started again; how
    often."""

    world: World
    target: Callable[[Runtime], None]
    settings: Settings
    ends: bool = False
    kills: int = 0

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Go on until it comes true."""
        process = self._started()

        def seen() -> bool:
            nonlocal process
            if condition():
                return True
            if waits(self.world) or not process.is_alive():
                assert process.is_alive() or self.ends, "it ended by itself"
                self._kill(process)
                self.kills += 1
                process = self._started()
            return False

        try:
            until(seen, what)
        finally:
            self._kill(process)

    def _started(self) -> ForkServerProcess:
        found = (self.target, self.settings, self.world.runtime.endpoints)
        process = _clean.Process(target=_run, args=found, daemon=True)
        process.start()
        return process

    def _kill(self, process: ForkServerProcess) -> None:
        """As the kernel does where memory is short; and what it had asked for is forgotten."""
        process.kill()
        process.join()
        self.world.ask(f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {_ITS}")
        until(lambda: self.world.ask(f"SELECT count(*) FROM pg_stat_activity WHERE {_ITS}") == 0, "its end")


def waits(world: World) -> bool:
    """Whether a process waits for what the test holds: on a busy machine it also waits, for a moment, for others."""
    return bool(
        world.ask(
            f"""
            SELECT count(*) FROM (SELECT pid FROM pg_stat_activity WHERE {_ITS}) its
            JOIN (SELECT pid FROM pg_stat_activity WHERE application_name = '{_HOLDER}') holder
                ON holder.pid = ANY(pg_blocking_pids(its.pid))
            """
        )
    )


@contextmanager
def held(world: World) -> Iterator[None]:
    """Nobody can change what is known of the organisation."""
    with connect(world.runtime.endpoints.database_url, application_name=_HOLDER) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(%s, 1)", (ORGANISATION_LOCK,))
        yield


@contextmanager
def without_newcomers(world: World) -> Iterator[None]:
    """Nobody can add a learner to the organisation."""
    with connect(world.runtime.endpoints.database_url, application_name=_HOLDER) as holder:
        holder.execute("SELECT FROM organisations WHERE organisation = 1 FOR UPDATE")
        yield


def neighbours(world: World) -> list[str]:
    """The learners of the other organisation who are known."""
    return sorted(
        world.list("SELECT l.id FROM learners l JOIN organisations o USING (organisation) WHERE o.id = 'globex'")
    )


def of_globex(world: World, *learners: str) -> list[bytes]:
    """Events of the other organisation."""
    return [world.event("learner.saved", world.learner(id_), organisation="globex") for id_ in learners]


@pytest.fixture
def two(world: World) -> World:
    """A platform of two organisations."""
    described = {"name": "Globex", "licence": "credits"}
    world.send(world.event("organisation.saved", described, organisation="globex"))
    return world


def test_r31_an_event_that_kills_its_process_is_set_aside_and_those_beside_it_are_taken(two: World) -> None:
    killer = two.event("learner.saved", two.learner("A"))
    ingress.ensure_group(two.redis)
    first, last = of_globex(two, "first", "last")
    for body in (first, killer, last):
        two.redis.xadd(IN, {"event": body})
    killed = Killed(two, ingress.run, two.runtime.settings)

    with without_newcomers(two):
        killed.until(
            lambda: (
                id_of(killer) in two.quarantine()
                and two.redis.xpending(IN, GROUP)["pending"] == 0
                and two.redis.keys("rollcall:trying:*") == []
            ),
            "it is set aside, acknowledged, and suspected no more",
        )

    assert killed.kills == 1 + MOST_TRIES
    assert neighbours(two) == ["first", "last"]
    assert (two.quarantine()[id_of(killer)].reason, len(two.quarantine())) == ("internal error", 1)
    release(two.runtime.engine, two.runtime.settings, EventRef(id_of(killer)), by="ann", why="mended")
    assert two.list("SELECT standing FROM learners WHERE id = 'A'") == ["active"]


def _short_of_memory(runtime: Runtime) -> None:
    """An ingress that may take a hundred megabytes more than it has."""
    most = psutil.Process().memory_info().vms + 100_000_000
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    ingress.run(runtime)


def test_r31_an_event_that_no_process_can_read_is_set_aside_by_its_beginning(two: World) -> None:
    ingress.ensure_group(two.redis)
    first, last = of_globex(two, "first", "last")
    for body in (first, b'{"id": "huge"' + b" " * 70_000_000 + b"}", last):
        two.redis.xadd(IN, {"event": body})
    killed = Killed(two, _short_of_memory, two.runtime.settings, ends=True)

    killed.until(lambda: two.redis.xpending(IN, GROUP)["pending"] == 0 and bool(two.quarantine()), "it is set aside")

    assert killed.kills == 1, "of those that died by it, the first did not know of it"
    assert neighbours(two) == ["first", "last"]
    assert two.rows("SELECT reason, octet_length(body) FROM inbox WHERE body IS NOT NULL") == [("malformed", 64_000)]


def test_r31_a_post_that_kills_its_process_is_set_aside_and_those_beside_it_are_taken(two: World) -> None:
    killer = two.event("learner.saved", two.learner("A"))
    first, last = of_globex(two, "first", "last")
    port = free_port()
    killed = Killed(two, app.run, two.runtime.settings.model_copy(update={"rollcall_web_port": port}))
    answered: list[int] = []
    over = threading.Event()

    def post() -> None:
        """The platform sends its batch again until it is taken."""
        while not answered and not over.wait(LOOK):
            platform = Platform(f"http://127.0.0.1:{port}")
            with suppress(OSError, http.client.HTTPException):
                status = platform.post(batch(first, killer, last), BATCH).status
                answered.extend([status] if status != 503 else [])
            platform.close()

    posting = threading.Thread(target=post)
    with without_newcomers(two):
        posting.start()
        try:
            killed.until(lambda: bool(answered), "the post is answered")
        finally:
            over.set()
            posting.join()

    assert answered == [202]
    assert killed.kills == 1 + MOST_TRIES
    assert neighbours(two) == ["first", "last"]
    assert {id_: one.reason for id_, one in two.quarantine().items()} == {id_of(killer): "internal error"}
    assert two.redis.keys("rollcall:trying:*") == []


def _work(runtime: Runtime) -> None:
    """Do what is due, as a pool of one does that is woken for it."""
    while not runtime.stopping.wait(LOOK):
        with transaction(runtime.engine) as connection:
            offers = offer(connection, "tasks", bound=8, repeat=runtime.lease)
        for one in offers:
            work_on(runtime, one.actor, one.organisation, one.work)


def test_r31_work_that_kills_its_worker_is_set_aside_until_somebody_retries_it(two: World) -> None:
    for organisation in (1, 2):
        with transaction(two.runtime.engine, organisation) as connection:
            work.add(connection, organisation, "tasks", "enrolments.chunk", 999)
    killed = Killed(two, _work, two.runtime.settings)

    with held(two):
        killed.until(lambda: two.list("SELECT state FROM work") == ["failing"], "it is set aside")

    assert killed.kills == 1 + MOST_ALONE
    with transaction(two.runtime.engine) as connection:
        (found,) = work.failing(connection)
        assert (found.organisation, found.actor) == ("acme", "enrolments.chunk")
        assert [(load.due, load.resting, load.failing) for load in loads(connection)] == [(0, 0, 1)]
        assert unfinished(connection) == 0
        assert work.retry(connection, found.number)
        assert not work.retry(connection, found.number)
    two.settle()
    assert two.ask("SELECT count(*) FROM work") == 0


def test_r31_work_that_is_set_aside_is_tried_once_more_after_pauses_that_grow_and_ends_by_itself(two: World) -> None:
    with transaction(two.runtime.engine, 1) as connection:
        work.add(connection, 1, "tasks", "enrolments.chunk", 999)
    two.execute("UPDATE work SET lost = 5, alone = :most", most=MOST_ALONE)
    killed = Killed(two, _work, two.runtime.settings)
    pauses = []

    with held(two):
        for kills in range(3):
            killed.until(lambda: two.rows("SELECT state, due_at > now() FROM work") == [("failing", True)], "set aside")
            assert killed.kills == kills
            pauses.append(two.ask("SELECT due_at - now() FROM work"))
            two.execute("UPDATE work SET due_at = now()")
    killed.until(lambda: two.ask("SELECT count(*) FROM work") == 0, "it ends: whatever killed its workers is gone")

    first, second, third = pauses
    assert FIRST_ASIDE * 0.9 < first <= FIRST_ASIDE
    assert second > 1.9 * first
    assert third > 1.9 * second
    assert killed.kills == 2


def test_r31_an_event_that_kills_whoever_takes_its_turn_is_set_aside_and_those_behind_it_are_taken(two: World) -> None:
    two.has_learners("B", "C")
    killer = two.event("learner.saved", two.learner("A"))
    before, behind = (two.event("learner.status_changed", {"learner": id_, "status": "inactive"}) for id_ in ("B", "C"))
    read = [read_stored(body) for body in (before, killer, behind)]
    with transaction(two.runtime.engine, 1) as connection:
        turns.park(connection, 1, [event for event in read if isinstance(event, Event)])
    killed = Killed(two, _work, two.runtime.settings)

    with without_newcomers(two):
        killed.until(lambda: two.ask("SELECT count(*) FROM work") == 0, "every turn was taken")

    assert killed.kills == 1 + actors.MOST_TRIES
    assert {id_: one.reason for id_, one in two.quarantine().items()} == {id_of(killer): "internal error"}
    assert two.list("SELECT id FROM learners WHERE standing = 'inactive' AND organisation = 1 ORDER BY id") == [
        "B",
        "C",
    ]
