"""What takes longer than it may is told so and ended in the database: no statement goes on that nobody waits for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from config.database import execute, transaction
from config.runtime import Runtime
from tasks import acts
from tasks.acts.acting import ACTS, Act, Doing, Nothing
from tasks.acts.paging import Stream
from tests.api.conftest import Served
from tests.workers.deployment import until
from workers.web.api import routes
from workers.web.api.doors import Weight, make_bulkheads
from workers.web.asking import Bulkhead

#: What would take for ever.
FOR_EVER = "SELECT pg_sleep(3600)"


def steps(doing: Doing, _asked: Nothing) -> Nothing:
    """One statement after the other, each of which takes no time."""
    with doing.transaction() as connection:
        while True:
            execute(connection, "SELECT pg_sleep(0.01)")


def forever(doing: Doing, _asked: Nothing) -> Nothing:
    """A statement that takes for ever."""
    with doing.transaction() as connection:
        execute(connection, FOR_EVER)
    return Nothing()


def export(doing: Doing, _asked: Nothing) -> Stream:
    """An export whose first block takes for ever."""

    def blocks() -> Iterator[bytes]:
        with transaction(doing.runtime.engine) as connection:
            execute(connection, FOR_EVER)
        yield b""

    return Stream("application/jsonl", blocks())


#: How long which may take: (seconds in all, seconds of a statement).
PATIENCE = {
    "a statement, by the bound of statements": (forever, Nothing, (30, 0.5)),
    "a statement, by the bound of the request": (forever, Nothing, (2, None)),
    "many statements": (steps, Nothing, (2, 10)),
    "an export": (export, Stream, (2, None)),
}


@contextmanager
def patient(monkeypatch: pytest.MonkeyPatch, seconds: float, statement: float | None) -> Iterator[None]:
    """Bulkheads that have less patience."""

    def make(runtime: Runtime) -> dict[Weight, Bulkhead]:
        made = make_bulkheads(runtime)
        for weight, role in {Weight.QUICK: "web api", Weight.EXPORT: "web exports"}.items():
            made[weight].runtime.engine.dispose()
            made[weight] = Bulkhead(
                runtime, role, at_once=2, wait=2, seconds=seconds, statement=statement, connections=2
            )
        return made

    with monkeypatch.context() as patch:
        patch.setattr(routes, "make_bulkheads", make)
        yield


@pytest.mark.parametrize("what", PATIENCE)
def test_what_takes_too_long_is_told_so_and_ends_in_the_database(
    what: str, serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    does, gives, (seconds, statement) = PATIENCE[what]
    acts.every()
    slow: Act[Nothing, object] = Act("courses.show", "GET", "slow", does, Nothing, gives, False, 200)
    monkeypatch.setitem(ACTS, "courses.show", slow)
    with patient(monkeypatch, seconds, statement):
        api = serve()

        refused = api.client().get("slow")

        assert (refused.status, refused.headers["retry-after"]) == (503, "2")
        assert refused.json["detail"] == "It took too long and was stopped: ask for less at once, or again later."
        running = "FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"
        asked = f"SELECT count(*) {running} AND query LIKE 'SELECT pg_sleep%'"
        until(lambda: api.world.ask(asked) == 0, "its statement has ended")
        assert api.client().get("courses").status == 200
