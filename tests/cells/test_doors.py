"""The doors find the cell that an organisation lives in, and keep what comes while it is on its way."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from config.cells import Cells, CellServers
from config.database import transaction
from config.engine import make_engine
from config.runtime import Runtime
from config.streams import GROUP, IN
from tasks import cells, events, organisations
from tasks.accounts import Caller, Door, Role
from tasks.acts import perform
from tasks.acts.organisations import list_
from tasks.acts.paging import PageAsked
from tasks.cells import Elsewhere, in_cell_of_number
from tasks.intake import BatchResult, process_batch, process_everywhere
from tasks.intake.batch import _number_of
from tasks.intake.everywhere import organisation_in
from tests.cells.conftest import TwoCells
from workers import ingress, moving
from workers.suspects import MOST_TRIES, Suspects


def test_an_organisation_that_is_to_live_elsewhere_is_made_there(two_cells: TwoCells) -> None:
    home, north = two_cells.home, two_cells.north
    moving.move(home.runtime, "new", "north")
    home.organisation = north.organisation = "new"
    body = home.event("organisation.saved", {"name": "New", "licence": "seats"})

    client = home.redis
    client.xadd(IN, {"event": body})
    ingress.ensure_group(client)
    found: Any = client.xreadgroup(GROUP, "one", {IN: ">"}, count=10)
    held = ingress._process_entries(home.runtime, client, found[0][1])

    assert held == []
    assert two_cells.where("new") == ["north"]
    number = north.ask("SELECT organisation FROM organisations WHERE id = 'new'")
    assert in_cell_of_number(home.runtime, number, lambda there: there.engine.url) == north.runtime.engine.url
    caller = Caller("op", Door.API, Role.OPERATOR)
    first = perform(home.runtime, caller, list_, PageAsked(limit=1))
    second = perform(home.runtime, caller, list_, PageAsked(limit=1, after=first.next))
    assert [one.organisation for one in [*first.items, *second.items]] == ["acme", "new"]
    assert second.next is None


def test_r31_who_waits_for_an_organisation_on_its_way_keeps_nobody_else_waiting(two_cells: TwoCells) -> None:
    home = two_cells.home
    home.has_learners("A")
    other = home.event("organisation.saved", {"name": "Other", "licence": "seats"}, organisation="other")
    late = home.event("learner.saved", home.learner("B"))
    number = home.ask("SELECT organisation FROM organisations WHERE id = 'acme'")
    with transaction(home.runtime.engine) as connection:
        cells.reserve(connection, ["acme"])
        cells.depart(connection, "acme", number)
        connection.exec_driver_sql("DELETE FROM organisations WHERE id = 'acme'")
    client = home.redis
    for body in (late, other):
        client.xadd(IN, {"event": body})
    ingress.ensure_group(client)
    found: Any = client.xreadgroup(GROUP, "one", {IN: ">"}, count=10)

    held = ingress._process_entries(home.runtime, client, found[0][1])

    assert [fields[b"event"] for _, fields in held] == [late]
    pending: Any = client.xpending(IN, GROUP)
    assert pending["pending"] == 1
    assert two_cells.where("other") == ["home"]
    with pytest.raises(Elsewhere):
        process_batch(home.runtime.engine, home.runtime.settings, [late])
    assert home.ask("SELECT count(*) FROM inbox WHERE organisation = 'acme' AND state <> 'applied'") == 0


def test_r31_who_leaves_as_its_events_are_stored_behind_others_keeps_nobody_else_waiting(
    two_cells: TwoCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = two_cells.home
    home.has_learners("A")
    number = home.ask("SELECT organisation FROM organisations WHERE id = 'acme'")
    [waits, late] = [home.event("learner.saved", home.learner(id_)) for id_ in ("B", "C")]
    other = home.event("organisation.saved", {"name": "Other", "licence": "seats"}, organisation="other")
    with transaction(home.runtime.engine, number) as connection:
        events.park_events(connection, number, [as_event(waits)])

    def leaves_meanwhile(engine: Engine, id_: str) -> int | None:
        found = _number_of(engine, id_)
        with transaction(engine, found) as connection:
            cells.depart(connection, id_, found)
            organisations.take_out(connection, id_)
        return found

    monkeypatch.setattr("tasks.intake.batch._number_of", leaves_meanwhile)
    done, left = process_everywhere(home.runtime, [late, other])

    assert left == [0]
    assert (done.new + done.repeated, two_cells.where("other")) == (1, ["home"])


def test_a_cell_that_is_away_keeps_nobody_else_waiting(two_cells: TwoCells) -> None:
    home = two_cells.home
    moving.move(home.runtime, "far", "north")
    assert home.runtime.cells is not None
    home.runtime.cells.went_away("north")
    far = home.event("organisation.saved", {"name": "Far", "licence": "seats"}, organisation="far")

    done, left = process_everywhere(home.runtime, [far, home.event("learner.saved", home.learner("A"))])

    assert (done.new, left) == (1, [0])


@pytest.fixture
def north_away(two_cells: TwoCells) -> Iterator[Runtime]:
    """What works at home, where an organisation lives in a cell whose servers are away."""
    home = two_cells.home.runtime
    moving.move(home, "far", "north")
    nowhere = {"north": CellServers("postgresql://nobody@127.0.0.1:1/nothing", "unix:///nowhere")}
    known = Cells(nowhere, lambda url: make_engine(url, role="test"))
    yield replace(home, cells=known)
    known.close()


def test_a_cell_that_goes_away_is_said_once_and_left_alone_for_a_while(
    two_cells: TwoCells, north_away: Runtime
) -> None:
    home = two_cells.home
    far = home.event("organisation.saved", {"name": "Far", "licence": "seats"}, organisation="far")

    with capture_logs() as logs:
        done, left = process_everywhere(north_away, [home.event("learner.saved", home.learner("A")), far, far])
        again = process_everywhere(north_away, [far])

    assert (done.new, left) == (1, [1, 2])
    assert again == (BatchResult(), [0])
    assert [(log["event"], log["cell"], log["events"]) for log in logs if log["log_level"] == "warning"] == [
        ("cell.away", "north", 2)
    ]


def test_r31_what_is_given_up_for_a_cell_that_is_away_keeps_nobody_else_waiting(
    two_cells: TwoCells, north_away: Runtime
) -> None:
    home = two_cells.home
    far = home.event("organisation.saved", {"name": "Far", "licence": "seats"}, organisation="far")
    client: Any = home.redis
    entries = [
        client.xadd(IN, {"event": body}).decode() for body in (far, home.event("learner.saved", home.learner("A")))
    ]
    ingress.ensure_group(client)
    client.xreadgroup(GROUP, "one", {IN: ">"}, count=10)
    for _ in range(MOST_TRIES):
        Suspects(client)._count(entries[0])

    ingress._try_each(north_away, client, deque(entries))

    assert home.ask("SELECT count(*) FROM learners WHERE id = 'A'") == 1
    assert [one["message_id"].decode() for one in client.xpending_range(IN, GROUP, "-", "+", 10)] == entries[:1]


def test_an_organisation_that_has_moved_is_followed_and_where_it_lives_is_remembered(
    two_cells: TwoCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, north = two_cells.home, two_cells.north
    home.has_learners("A")
    assert home.runtime.cells is not None
    home.runtime.cells.remember({"acme": "home"})
    moving.move(home.runtime, "acme", "north")
    home.runtime.cells.remember({"acme": "home"})  # as a process does that did not move it
    asked: list[Engine] = []

    def noted(engine: Engine, *said: Any, **more: Any) -> BatchResult:
        asked.append(engine)
        return process_batch(engine, *said, **more)

    monkeypatch.setattr("tasks.intake.everywhere.process_batch", noted)
    done, left = process_everywhere(home.runtime, [home.event("learner.saved", home.learner("B"))])

    assert (done.new, left) == (1, [])
    assert north.list("SELECT id FROM learners ORDER BY id") == ["A", "B"]
    assert home.runtime.cells.remembered(["acme"]) == {"acme": "north"}
    assert asked == [home.runtime.engine, north.runtime.engine]


def as_event(body: bytes) -> events.Event:
    found = events.read_stored(body)
    assert isinstance(found, events.Event)
    return found


@pytest.mark.parametrize("body", [b"nothing", b"[1]", b"{}", b'{"organisation": 5}', b"\xff"])
def test_what_names_no_organisation_is_of_none(body: bytes) -> None:
    assert organisation_in(body) == ""
