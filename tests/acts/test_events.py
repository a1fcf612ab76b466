"""Events that could not be taken, by acts: pages, decisions, and what the audit log says."""

import pytest

from config.errors import Forbidden, Invalid, NotFound
from tasks.accounts import Role
from tasks.acts import events as acts
from tasks.acts.acting import Nothing
from tasks.acts.paging import PageAsked
from tests.acts.doing import audited, caller, do
from tests.world import World


@pytest.fixture
def held(world: World) -> World:
    """Five starts wait for their course, and one of another organisation, which nobody knows."""
    world.has_learners("A")
    for n in range(5):
        world.say("course.started", id_=f"s{n}", learner="A", course=f"X{n}", cycle=1)
    world.send(world.event("segment.left", {"segment": "s", "learners": []}, organisation="unknown"))
    return world


def test_what_waits_is_listed_page_by_page_and_only_with_the_filters_it_began_with(held: World) -> None:
    after, seen = None, []
    while True:
        page = do(held, acts.quarantined, acts.UnresolvedFilter(limit=2, after=after))
        seen += [entry.id for entry in page.items]
        after = page.next or after
        if page.next is None:
            break

    assert seen == [f"s{n}" for n in range(5)]
    with pytest.raises(Invalid):
        do(held, acts.quarantined, acts.UnresolvedFilter(state=acts.UnresolvedState.WAITING, after=after))
    everybodys = do(held, acts.quarantined_anywhere, acts.AnybodysUnresolvedFilter(), None)
    assert len(everybodys.items) == 6
    named = do(held, acts.quarantined_anywhere, acts.AnybodysUnresolvedFilter(organisation="unknown"), None)
    assert [entry.organisation for entry in named.items] == ["unknown"]


def test_r27_an_event_is_decided_by_its_number_and_who_did_is_kept(held: World) -> None:
    entry = do(held, acts.quarantined, acts.UnresolvedFilter(limit=1)).items[0]

    decision = do(held, acts.discard, acts.Discarding(entry.number, "a mistake"), who=caller(Role.ADMIN))

    assert decision == acts.EventDecision(str(entry.number), "discarded")
    (kept,) = do(held, acts.decided, PageAsked()).items
    assert (kept.id, kept.by, kept.why) == ("s0", "ann@acme.example", "a mistake")
    assert audited(held, "events.discard") == [
        (str(entry.number), {"state": "held"}, {"state": "discarded"}, "done"),
    ]


def test_r31_nothing_of_another_organisation_is_decided(held: World) -> None:
    held.send(held.event("organisation.saved", {"name": "B", "licence": "seats", "pool": 1}, organisation="borealis"))
    entry = do(held, acts.quarantined, acts.UnresolvedFilter(limit=1)).items[0]

    with pytest.raises(NotFound):
        do(held, acts.discard, acts.Discarding(entry.number, "x"), "borealis", caller(Role.ADMIN, "borealis"))
    with pytest.raises(NotFound):
        do(held, acts.discard, acts.Discarding(entry.number, "x"), "acme", caller(Role.ADMIN, "borealis"))
    with pytest.raises(Forbidden):
        do(held, acts.release, acts.Decision(entry.number), "acme", caller(Role.READER, "acme"))
    with pytest.raises(Forbidden):
        do(held, acts.quarantined_anywhere, acts.AnybodysUnresolvedFilter(), None, caller(Role.ADMIN))
    assert do(held, acts.decided, PageAsked()).items == []


def test_what_goes_out_again_is_counted_for_its_organisation_alone(world: World) -> None:
    world.send(world.event("organisation.saved", {"name": "B", "licence": "seats", "pool": 1}, organisation="borealis"))
    world.execute(
        """
        INSERT INTO outbox (organisation, type, data)
        SELECT 1 + n % 2, 'rollcall.access.suspended', json_build_object('learner', CAST(n AS text))
        FROM generate_series(1, 5) n
        """
    )
    world.settle()

    ours = do(world, acts.replay, acts.Replaying(since=1))
    all_ = do(world, acts.replay_all, acts.Replaying(since=1, dry_run=True), None)

    assert (ours.replayed, ours.left, all_.replayed) == (2, 2, 5)
    assert do(world, acts.replays, Nothing(), "borealis").waiting == 0
    assert audited(world, "events.replay") == [(None, None, {"events": 2}, "done")]
    for wrong in (acts.Replaying(since=1, types=["nothing"]),):
        with pytest.raises(Invalid):
            do(world, acts.replay, wrong)
