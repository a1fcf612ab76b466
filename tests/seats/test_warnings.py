"""Admins are warned at 80 % and 100 % of a pool, once each for a pool of one size in a licence period."""

from datetime import timedelta
from typing import Any

import pytest

from tests.world import DAWN, World


def warned(world: World) -> list[tuple[int, int, int]]:
    """What the platform was told: percent, used, pool."""
    world.settle()
    return [(told["percent"], told["used"], told["pool"]) for told in world.out("pool.reached")]


def subjects(world: World, address: str = "admin@acme.example") -> list[str]:
    """The subjects of the mails to an admin."""
    world.settle()
    return [str(message["Subject"]) for message in world.mail.to(address)]


def furnished(world: World, licence: str = "seats", pool: int | None = 5, learners: int = 9, **data: Any) -> World:
    """An organisation with a pool, and learners who may start."""
    world.has_organisation(licence, pool, **data)
    world.has_learners(*(f"L{n}" for n in range(learners)), email=None, at=DAWN)
    world.has_course("safety", "everyone", at=DAWN)
    return world


def start(world: World, *learners: int) -> None:
    """These learners start, told of in one batch."""
    world.send(*(world.event("course.started", {"learner": f"L{n}", "course": "safety"}) for n in learners))


def test_r28_admins_and_platform_are_warned_at_80_and_at_100_percent_once(world: World) -> None:
    furnished(world, admin_emails=["a@acme.example", "b@acme.example"])
    start(world, 0, 1, 2)
    assert warned(world) == []

    for n in (3, 3, 0, 4, 5, 6):
        start(world, n)
    world.send(*world.sent)

    assert warned(world) == [(80, 4, 5), (100, 5, 5)]
    wanted = ["80% of the seats of Acme Academy are in use", "All seats of Acme Academy are in use"]
    assert subjects(world, "a@acme.example") == wanted
    assert subjects(world, "b@acme.example") == wanted
    [low, _] = [str(mail.get_body(("plain",))) for mail in world.mail.to("a@acme.example")]
    assert "In use: 4 of your 5 seats; left in this licence period: 1." in low
    [event, _] = [event for event in world.out() if event["type"] == "rollcall.pool.reached"]
    assert event["data"] == {
        "unit": "seat", "percent": 80, "used": 4, "pool": 5,
        "licence_starts": "2026-01-01T00:00:00.000000Z", "licence_ends": "2027-01-01T00:00:00.000000Z",
    }  # fmt: skip


def test_r28_a_batch_that_goes_past_both_tells_the_platform_of_both_and_the_admins_of_the_last(world: World) -> None:
    furnished(world)
    start(world, 0, 1)

    start(world, 2, 3, 4, 5, 6)

    assert warned(world) == [(80, 4, 5), (100, 5, 5)]
    assert subjects(world) == ["All seats of Acme Academy are in use"]


def test_r28_a_warning_is_written_in_the_transaction_of_the_start_that_causes_it(world: World) -> None:
    furnished(world, pool=1)
    start(world, 0)

    written = world.list(
        """
        SELECT xmin::text FROM consumptions UNION SELECT xmin::text FROM pool_warnings
        UNION SELECT xmin::text FROM outbox WHERE type = 'rollcall.pool.reached'
        UNION SELECT xmin::text FROM mailings WHERE kind = 'seats'
        """
    )
    assert len(written) == 1


def test_r28_a_pool_of_another_size_is_warned_of_anew_and_one_that_comes_back_is_not(world: World) -> None:
    furnished(world)
    start(world, 0, 1, 2, 3)
    world.has_organisation("seats", 10)
    start(world, 4, 5, 6)
    assert warned(world) == [(80, 4, 5)]

    start(world, 7)
    world.has_organisation("seats", 5)
    world.has_organisation("seats", 10)

    assert warned(world) == [(80, 4, 5), (80, 8, 10), (100, 8, 5)]
    assert len(subjects(world)) == 3


def test_r28_a_pool_lowered_below_what_is_used_is_warned_of_at_once(world: World) -> None:
    furnished(world, pool=100)
    start(world, 0, 1, 2)

    world.has_organisation("seats", 2)
    assert subjects(world) == ["All seats of Acme Academy are in use"]
    world.has_organisation("seats", 2, name="Renamed")

    assert warned(world) == [(80, 3, 2), (100, 3, 2)]
    assert len(subjects(world)) == 1


def test_s11_another_licence_period_is_warned_of_anew(world: World) -> None:
    furnished(world, pool=1)
    start(world, 0)

    world.has_organisation("seats", 1, licence_starts="2026-02-01", licence_ends="2026-02-28")
    world.starts("L0", "safety", at=DAWN + timedelta(days=30))

    assert [percent for percent, *_ in warned(world)] == [80, 100, 80, 100]


@pytest.mark.parametrize(("pool", "expected"), [(None, []), (0, [(100, 1, 0)]), (1000, [])])
def test_r28_no_limit_is_never_reached_and_nothing_is_used_up_by_the_first(
    world: World, pool: int | None, expected: list[tuple[int, int, int]]
) -> None:
    furnished(world, pool=pool)
    start(world, 0)
    start(world, 1)

    assert warned(world) == expected


def test_s11_what_costs_nothing_reaches_nothing(world: World) -> None:
    furnished(world, "credits", 0)
    world.has_course("safety", "everyone", cost=0)
    start(world, 0, 1)

    assert warned(world) == []


def test_r22_without_admins_the_platform_is_told_and_a_mail_to_nobody_is_finished_at_once(world: World) -> None:
    furnished(world, pool=1, admin_emails=[])

    start(world, 0)

    assert [percent for percent, *_ in warned(world)] == [80, 100]
    assert world.list("SELECT state FROM mailings WHERE kind = 'seats'") == ["finished"]
    assert world.ask("SELECT count(*) FROM deliveries d JOIN mailings m USING (mailing) WHERE kind = 'seats'") == 0
