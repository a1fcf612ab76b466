"""The doors find the cell that an organisation lives in, and keep what comes while it is on its way."""

from typing import Any

import pytest

from config.database import transaction
from config.streams import GROUP, IN
from tasks import cells
from tasks.accounts import Caller, Door, Role
from tasks.acts import perform
from tasks.acts.organisations import list_
from tasks.acts.paging import PageAsked
from tasks.cells import Elsewhere, in_cell_of_number
from tasks.intake import process_batch, process_everywhere
from tests.cells.conftest import TwoCells
from workers import ingress, moving


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


def test_a_cell_that_is_away_keeps_nobody_else_waiting(two_cells: TwoCells) -> None:
    home = two_cells.home
    moving.move(home.runtime, "far", "north")
    assert home.runtime.cells is not None
    home.runtime.cells.went_away("north")
    far = home.event("organisation.saved", {"name": "Far", "licence": "seats"}, organisation="far")

    done, left = process_everywhere(home.runtime, [far, home.event("learner.saved", home.learner("A"))])

    assert (done.new, left) == (1, [0])
