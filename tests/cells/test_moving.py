"""Cells: an organisation lives in one of several, the doors find it there, and it can be moved."""

import json
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest

from config.database import snapshot, transaction
from config.errors import Conflict, Unavailable
from migrations import carrying
from tasks import cells, retention, verification
from tasks.accounts import Caller, Door, Role
from tasks.acts import perform
from tasks.acts.access import AccessAnswer, AccessAsked, ask
from tasks.intake import BatchResult, process_everywhere
from tests.cells.conftest import TwoCells
from tests.isolation.neighbours import OURS, THEIRS, belongings, furnish
from tests.world import World
from workers import moving

#: Where there are places of events out: each cell has an order of its own.
PLACED = ("outbox", "replays", "webhook", "rollcall:out")


class Killed(BaseException):
    """Whoever moves an organisation is gone."""


def breaches(world: World) -> list[str]:
    """What does not hold of the database."""
    with snapshot(world.runtime.engine, None, read_only=True) as connection:
        return [one.in_words for some in verification.of_database(connection) for one in some]


def may(world: World, organisation: str, learner: str, course: str) -> AccessAnswer:
    """Whether a learner may open a course, as somebody is told who comes to the doors of this cell."""
    caller = Caller("op", Door.API, Role.OPERATOR)
    return perform(world.runtime, caller, ask, AccessAsked(learner, course), organisation)


def send(world: World, *bodies: bytes) -> tuple[BatchResult, list[int]]:
    """The platform sends events to the doors of this cell."""
    return process_everywhere(world.runtime, bodies)


def published(*worlds: World) -> list[str]:
    """The ids of all events out, in whichever cell."""
    return [event["id"] for event in chain(*(world.out() for world in worlds))]


def _unplaced(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: rows for name, rows in found.items() if rows and not name.startswith(PLACED)}  # or a month of none


def _undelivered(found: dict[str, list[str]]) -> list[tuple[str, int]]:
    """How many events each webhook has not been sent yet, of those that have a place."""
    events, hooks = ([json.loads(row) for row in found[name]] for name in ("outbox", "webhooks"))
    places = [event["position"] for event in events if event["position"] is not None]
    return sorted((hook["id"], sum(place > hook["position"] for place in places)) for hook in hooks)


def test_r31_everything_of_an_organisation_moves_and_goes_on_where_it_is(two_cells: TwoCells) -> None:
    home, north = two_cells.home, two_cells.north
    furnish(home, OURS)
    furnish(home, THEIRS)
    late = [
        home.event("learner.saved", home.learner("E")),
        home.event("course.started", {"learner": "E", "course": "safety"}),
    ]
    home.send(*late)  # what follows of it is not done yet, and not told
    before, theirs = belongings(home, OURS), belongings(home, THEIRS)

    moved = moving.move(home.runtime, OURS, "north")

    after = belongings(north, OURS)
    assert two_cells.where(OURS) == ["north"]
    assert _unplaced(after) == _unplaced(before)
    assert len(after["outbox"]) == len(before["outbox"])
    assert [*map(_undelivered, (before, after))] == [_undelivered(before)] * 2
    assert moved.rows >= 100
    assert belongings(home, THEIRS) == theirs
    home.settle()
    north.settle()
    told = published(home, north)
    assert len(told) == len({*told})
    assert {*home.list("SELECT CAST(id AS text) FROM outbox WHERE organisation > 0 AND time < '2900-01-01'")} <= {*told}
    assert [len(north.out("seat.consumed")), north.mail.recipients.count("e@acme.example")] == [1, 1]
    assert send(home, *late, home.event("course.started", {"learner": "E", "course": "law"}))[0].repeated == 2
    assert may(home, OURS, "E", "safety").access
    assert [breaches(home), breaches(north)] == [[], []]
    with pytest.raises(Conflict):
        moving.move(home.runtime, OURS, "home")  # what it left there is still there

    moving.forget(home.runtime, OURS)
    back = moving.move(home.runtime, OURS, "home")

    assert two_cells.where(OURS) == ["home"]
    assert back.rows >= 100
    home.has_course("new")
    newest = (
        home.rows("SELECT id FROM courses ORDER BY course DESC LIMIT 1"),
        north.rows("SELECT id FROM courses LIMIT 0"),
    )
    assert newest == ([("new",)], [])


def test_r35_deliveries_come_to_months_of_their_own_where_their_organisation_goes(two_cells: TwoCells) -> None:
    home, north = two_cells.home, two_cells.north
    furnish(home, OURS)
    first = home.ask("SELECT number_of_month(now() + interval '1 year')")
    home.execute("SELECT setval(pg_get_serial_sequence('mailings', 'mailing'), :first)", first=first)
    home.announces("ahead")
    home.settle()

    moving.move(home.runtime, OURS, "north")

    lies = "SELECT DISTINCT CAST(tableoid::regclass AS text) FROM deliveries WHERE mailing > :first"
    month = north.ask("SELECT 'deliveries_' || to_char(now() AT TIME ZONE 'UTC' + interval '1 year', 'YYYY_MM')")
    assert north.list(lies, first=first) == [month]
    north.announces("there")
    north.settle()
    [newest] = north.list("SELECT DISTINCT CAST(tableoid::regclass AS text) FROM deliveries WHERE mailing >> 40 > 0")
    assert newest == north.ask("SELECT to_char(now() AT TIME ZONE 'UTC', '\"deliveries_\"YYYY_MM_') || '1'")


def test_r32_ids_of_every_period_are_known_where_an_organisation_goes(two_cells: TwoCells) -> None:
    home, north = two_cells.home, two_cells.north
    sent = []
    for learner in "AB":
        sent.append(home.event("learner.saved", home.learner(learner)))
        home.send(sent[-1])
        with transaction(home.runtime.engine) as connection:
            retention.begin_period(connection)

    moving.move(home.runtime, home.organisation, "north")

    assert north.list("SELECT count(*) FROM arrivals") == [len(sent) + 1], "and the organisation's own"
    assert send(home, *sent)[0].repeated == len(sent)


#: What the mover does, one after the other; each is done, and then it is killed.
STEPS: list[tuple[Any, str]] = [
    (moving, "_begin"),
    (moving, "_rest"),
    (moving, "_leave"),
    (moving, "_hold_back"),
    (carrying, "carry"),
    (moving, "_carry"),
    (cells, "went_to"),
]


def test_r32_a_move_that_is_broken_off_anywhere_is_finished_by_the_same_command(
    two_cells: TwoCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, north = two_cells.home, two_cells.north
    for number, (module, step) in enumerate(STEPS):
        home.organisation = north.organisation = organisation = f"org{number}"
        home.has_organisation()
        home.has_course("safety", method="everyone")
        home.has_learners("A", "B")
        home.settle()
        home.starts("A", "safety")  # is to be told where it goes
        with monkeypatch.context() as broken:
            broken.setattr(module, step, _killed_after(getattr(module, step)))
            with pytest.raises(Killed):
                moving.move(home.runtime, organisation, "north")
        start = home.event("course.started", {"learner": "B", "course": "safety"})
        done, left = send(home, start)
        if left:  # nobody has it now: it waits, and so does whoever asks
            with pytest.raises(Unavailable):
                may(home, organisation, "A", "safety")

        moving.move(home.runtime, organisation, "north")

        assert two_cells.where(organisation) == ["north"], step
        again, still = send(home, start)
        assert (done.new + again.new, still) == (1, []), step
        assert may(home, organisation, "B", "safety").access, step
        assert [entry.learner for entry in north.ledger()] == ["A", "B"], step
        home.settle()
        north.settle()
        assert sorted(_charged(organisation, home, north)) == ["A", "B"], step


def _killed_after(do: Callable[..., Any]) -> Callable[..., Any]:
    def killed(*arguments: object) -> None:
        do(*arguments)
        raise Killed

    return killed


def _charged(organisation: str, *worlds: World) -> list[str]:
    """The learners of whose charge the platform was told."""
    events = [event for event in chain(*(world.out() for world in worlds)) if event["organisation"] == organisation]
    return [event["data"]["learner"] for event in events if event["type"] == "rollcall.seat.consumed"]


def test_an_organisation_that_does_not_arrive_as_it_left_stays_where_it_is(
    two_cells: TwoCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = two_cells.home
    home.has_learners("A")
    two_cells.north.runtime.engine.dispose()
    with two_cells.north.runtime.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$"
            " BEGIN NEW.first_name = 'Someone'; RETURN NEW; END $$;"
            "CREATE TRIGGER spoil BEFORE INSERT ON learners FOR EACH ROW EXECUTE FUNCTION spoil()"
        )

    with pytest.raises(carrying.NotWhole):
        moving.move(home.runtime, "acme", "north")

    assert two_cells.where("acme") == ["home"]
    home.starts("A", "later")
    assert home.say("course.saved", course="later", title="Later")
    assert home.list("SELECT cell FROM directory WHERE moves_to IS NOT NULL") == []
    assert home.list("SELECT kind FROM halts") == []
