"""Webhooks by acts: an organisation's and the platform's; nothing of a URL or a key is in the audit log."""

import pytest

from config.errors import Conflict, Forbidden, Invalid, NotFound
from tasks.accounts import Role
from tasks.acts import webhooks as acts
from tasks.acts.paging import PageAsked
from tests.acts.doing import audited, caller, do
from tests.world import World

URL = "https://hooks.example.org/in?key=s3cr3t"


def test_r34_a_webhook_is_added_changed_and_removed_and_the_audit_log_says_so_without_secrets(world: World) -> None:
    admin = caller(Role.ADMIN)
    added = do(world, acts.add, acts.WebhookAddition(URL, id="hook"), who=admin)
    with pytest.raises(Conflict):
        do(world, acts.add, acts.WebhookAddition(URL, id="hook"), who=admin)
    do(world, acts.disable, acts.OneWebhook("hook"), who=admin)
    do(world, acts.enable, acts.Enabling("hook"), who=admin)
    rotated = do(world, acts.rotate, acts.Rotation("hook"), who=admin)
    with pytest.raises(Conflict):
        do(world, acts.rotate, acts.Rotation("hook"), who=admin)
    removed = do(world, acts.remove, acts.OneWebhook("hook"), who=admin)

    assert (added.id, removed) == ("hook", acts.Changed("hook", "removed"))
    assert added.key != rotated.key
    told = world.rows("SELECT act, subject, outcome FROM audit ORDER BY id")
    assert told == [
        ("webhooks.add", "hook", "done"),
        ("webhooks.add", None, "refused: Conflict"),
        ("webhooks.disable", "hook", "done"),
        ("webhooks.enable", "hook", "done"),
        ("webhooks.rotate", "hook", "done"),
        ("webhooks.rotate", None, "refused: Conflict"),
        ("webhooks.remove", "hook", "done"),
    ]
    assert audited(world, "webhooks.disable")[0][1:3] == ({"state": "enabled"}, {"state": "disabled"})
    everything = str(world.rows("SELECT before, after FROM audit"))
    assert not any(secret in everything for secret in ("s3cr3t", "hooks.example", added.key, rotated.key))


def test_webhooks_and_their_attempts_are_listed_page_by_page(world: World) -> None:
    for n in range(3):
        do(world, acts.add, acts.WebhookAddition(URL, id=f"hook-{n}"))
    world.execute(
        """
        INSERT INTO webhook_attempts (organisation, webhook, delivered, number, event, type, position, at, said,
                                      milliseconds, problem)
        SELECT 1, 'hook-0', n % 2 = 0, n, gen_random_uuid(), 'x', n, now() - make_interval(secs => n / 2), '', 1,
               CASE WHEN n % 2 = 1 THEN 'unreachable' END
        FROM generate_series(1, 5) n
        """
    )

    first = do(world, acts.list_, PageAsked(limit=2))
    second = do(world, acts.list_, PageAsked(limit=2, after=first.next))
    whole = do(world, acts.log, acts.AttemptFilter("hook-0")).items
    pages, after = [], None
    while True:
        page = do(world, acts.log, acts.AttemptFilter("hook-0", limit=2, after=after))
        pages += page.items
        after = page.next
        if after is None:
            break

    assert [one.id for one in (*first.items, *second.items)] == ["hook-0", "hook-1", "hook-2"]
    assert second.next is None
    assert pages == whole
    assert len(whole) == 5
    assert {one.delivered for one in do(world, acts.log, acts.AttemptFilter("hook-0", failures=True)).items} == {False}


def test_r31_the_platforms_own_are_an_operators_and_each_organisation_has_its_own(world: World) -> None:
    world.send(world.event("organisation.saved", {"name": "B", "licence": "seats", "pool": 1}, organisation="borealis"))
    do(world, acts.of_platform["webhooks.add"], acts.WebhookAddition(URL, id="ours"), None)
    do(world, acts.add, acts.WebhookAddition(URL, id="theirs"), "borealis")

    assert do(world, acts.list_, PageAsked()).items == []
    (own,) = do(world, acts.of_platform["webhooks.list"], PageAsked(), None).items
    assert own.id == "ours"
    assert audited(world, "system.webhooks.add")[0][0] == "ours"
    with pytest.raises(NotFound, match="of the organisation 'acme'"):
        do(world, acts.show, acts.OneWebhook("theirs"))
    with pytest.raises(NotFound, match="of the platform"):
        do(world, acts.of_platform["webhooks.show"], acts.OneWebhook("theirs"), None)
    with pytest.raises(Forbidden):
        do(world, acts.of_platform["webhooks.list"], PageAsked(), None, caller(Role.ADMIN))
    with pytest.raises(Forbidden):
        do(world, acts.add, acts.WebhookAddition(URL), "acme", caller(Role.READER))


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        (acts.WebhookAddition("ftp://x"), "/url"),
        (acts.WebhookAddition(URL, types=["nothing"]), "/types"),
        (acts.WebhookAddition(URL, id="\u200b"), "/id"),
    ],
)
def test_what_cannot_be_meant_names_the_field(asked: acts.WebhookAddition, pointer: str, world: World) -> None:
    with pytest.raises(Invalid) as refused:
        do(world, acts.add, asked)
    assert [one.pointer for one in refused.value.errors] == [pointer]
