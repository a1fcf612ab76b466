"""Events out by HTTP: signed, in order, again until they are taken, and given up after a day."""

import asyncio
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from structlog.testing import capture_logs

from config.runtime import Endpoints
from config.streams import OUT
from tasks.webhooks import Problem, SigningKeys, State, WebhookServer, sending, server, store
from tests.webhooks.conftest import Hooks
from tests.webhooks.receiver import Receiver, hang_up, in_order, receiving, saying


def test_what_is_sent_is_what_is_on_the_stream_signed_and_in_order(hooks: Hooks, receiver: Receiver) -> None:
    key = hooks.add(receiver)
    hooks.happens(3)

    hooks.send()

    entries: Any = hooks.world.redis.xrange(OUT)
    assert [request.body for request in receiver.requests] == [fields[b"event"] for _, fields in entries]
    assert receiver.ids == [event["id"] for event in hooks.world.out()]
    assert receiver.connections == 1
    for request in receiver.requests:
        assert request.path == "/hook?token=unspoken"
        assert request.headers["content-type"] == "application/cloudevents+json"
        assert request.headers["user-agent"] == "rollcall"
        assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert Webhook(key).verify(request.body, request.headers) == request.event
        with pytest.raises(WebhookVerificationError):
            Webhook("whsec_" + "A" * 43 + "=").verify(request.body, request.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(request.body + b" ", request.headers)
    assert hooks.stands().delivered == 3
    assert hooks.stands().waits_since is None


def test_what_happened_before_it_was_added_is_sent_only_if_asked_for(hooks: Hooks, receiver: Receiver) -> None:
    first = hooks.happens()
    hooks.add(receiver)
    with receiving() as other:
        hooks.add(other, "other", since=datetime.now(UTC) - timedelta(minutes=1))
        then = hooks.happens()
        hooks.send()

        assert receiver.ids == then
        assert other.ids == first + then


def test_order_is_kept_through_failures_and_each_pause_is_longer(hooks: Hooks, receiver: Receiver) -> None:
    hooks.add(receiver)
    ids = hooks.happens(3)
    receiver.will(saying(200), saying(500, "out of order"), saying(400), hang_up)
    pauses = []

    for _ in range(3):
        hooks.send(again=True)
        pauses.append(hooks.pause())
    failing = hooks.stands()
    hooks.send(again=True)

    assert receiver.ids == [ids[0], ids[1], ids[1], ids[1], ids[1], ids[2]]
    assert [low - 1 < pause <= 1.25 * low for pause, low in zip(pauses, (30, 60, 120), strict=True)] == [True] * 3
    assert (failing.failures, failing.delivered, failing.failed) == (3, 1, 3)
    assert failing.failing_since is not None
    assert [(a.status, a.problem, a.said) for a in hooks.log(failures=True)] == [
        (500, "refused", "out of order"),
        (400, "refused", ""),
        (None, "unreachable", ""),
    ]
    recovered = hooks.stands()
    assert (recovered.failures, recovered.failing_since, recovered.delivered) == (0, None, 3)


def test_a_webhook_that_waits_for_another_try_is_left_alone(hooks: Hooks, receiver: Receiver) -> None:
    hooks.add(receiver)
    hooks.happens()
    receiver.will(saying(503, "", "retry-after: 600"))

    hooks.send()
    hooks.send()

    assert len(receiver.requests) == 1
    assert 599 <= hooks.pause() <= 750


def test_a_webhook_that_is_gone_is_disabled_at_once_and_the_platform_told(hooks: Hooks, receiver: Receiver) -> None:
    hooks.add(receiver)
    ids = hooks.happens(2)
    receiver.will(saying(410))

    hooks.send()
    hooks.world.settle()
    hooks.send(again=True)

    assert receiver.ids == ids[:1]
    assert (hooks.stands().state, hooks.stands().reason) == (State.DISABLED, "gone")
    [told] = [event for event in hooks.world.out() if event["type"] == "rollcall.webhook.disabled"]
    assert told["organisation"] == ""
    assert told["data"] == {
        "webhook": "hook",
        "reason": "gone",
        "failing_since": told["data"]["failing_since"],
        "failures": 1,
        "problem": "gone",
        "status": 410,
    }


class TestADayOfFailures:
    """What is tried in vain for as long as the setting says."""

    @pytest.fixture
    def disabled(self, hooks: Hooks, receiver: Receiver) -> list[str]:
        hooks.add(receiver)
        ids = hooks.happens(2)
        receiver.will(*[saying(500)] * 3)
        hooks.send()
        hooks.world.execute("UPDATE webhooks SET failing_since = now() - interval '86000 seconds'")
        hooks.send(again=True)
        assert hooks.stands().state == State.ENABLED
        hooks.world.execute("UPDATE webhooks SET failing_since = now() - interval '86401 seconds', failures = 7")
        hooks.send(again=True)
        assert (hooks.stands().state, hooks.stands().reason) == (State.DISABLED, "failing")
        receiver.requests.clear()
        hooks.world.settle()
        hooks.send(again=True)
        assert receiver.requests == []
        return ids

    def test_what_was_not_sent_goes_once_it_is_enabled(
        self, hooks: Hooks, receiver: Receiver, disabled: list[str]
    ) -> None:
        hooks.enable()
        hooks.send()

        assert receiver.ids[:2] == disabled
        assert [request.event["type"] for request in receiver.requests[2:]] == ["rollcall.webhook.disabled"]
        assert hooks.stands().failures == 0

    @pytest.mark.usefixtures("disabled")
    def test_or_is_skipped(self, hooks: Hooks, receiver: Receiver) -> None:
        hooks.enable(skip=True)
        later = hooks.happens()
        hooks.send()

        assert receiver.ids == later


def test_a_slow_webhook_holds_up_nobody_else(hooks: Hooks, receiver: Receiver) -> None:
    hooks.add(receiver, "slow")
    all_taken = threading.Event()

    def until_the_other_has_all(connection: BinaryIO) -> None:
        assert all_taken.wait(5)
        connection.write(saying(200))

    def the_last(connection: BinaryIO) -> None:
        all_taken.set()
        connection.write(saying(200))

    with receiving() as other:
        hooks.add(other, "other")
        ids = hooks.happens(2)
        receiver.will(until_the_other_has_all)
        other.will(saying(200), the_last)
        hooks.send()

        assert other.ids == ids
    assert receiver.ids == ids
    assert [attempt.problem for attempt in hooks.log("slow")] == [None, None]


def test_while_a_key_takes_anothers_place_each_event_is_signed_by_both(hooks: Hooks, receiver: Receiver) -> None:
    old = hooks.add(receiver)
    new, kept = SigningKeys(hooks.world.runtime.endpoints.secret_key).make()
    with hooks.about() as (connection, number):
        store.rotate(connection, number, "hook", kept, timedelta(hours=24))
    hooks.happens(2)
    receiver.will(saying(200), saying(500))
    hooks.send()
    hooks.world.execute("UPDATE webhooks SET old_key_until = now() - interval '1 second'")
    hooks.send(again=True)

    both, _, alone = receiver.requests
    assert len(both.headers["webhook-signature"].split(" ")) == 2
    for key in (old, new):
        Webhook(key).verify(both.body, both.headers)
    Webhook(new).verify(alone.body, alone.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(alone.body, alone.headers)


def test_keys_are_read_under_any_of_our_keys_and_are_a_failure_under_none(
    hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = hooks.add(receiver)
    ids = hooks.happens(2)
    receiver.will(saying(200), saying(500))
    monkeypatch.setattr(Endpoints, "secret_key", "another, only for tests")
    hooks.send()
    Webhook(key).verify(receiver.requests[0].body, receiver.requests[0].headers)

    monkeypatch.setattr(Endpoints, "secret_key", "another")
    hooks.send(again=True)

    assert receiver.ids == ids
    assert hooks.log()[-1].problem == Problem.KEY_UNREADABLE


def test_no_secret_and_nobodys_data_is_logged_or_kept_in_the_clear(hooks: Hooks, receiver: Receiver) -> None:
    key = hooks.add(receiver)
    hooks.happens()
    receiver.will(saying(500, "no such learner: Whisper"))

    with capture_logs() as lines:
        hooks.send()

    assert [line["event"] for line in lines] == ["webhooks.failed"]
    told = str(lines) + repr(hooks.stands())
    assert not [secret for secret in (key, "unspoken", "Whisper", "First") if secret in str(lines)]
    assert key not in told
    assert key.removeprefix("whsec_") not in str(hooks.world.rows("SELECT * FROM webhooks"))


def test_r31_an_organisations_webhook_is_sent_its_events_alone(hooks: Hooks, receiver: Receiver) -> None:
    world = hooks.world
    world.send(
        world.event(
            "organisation.saved", {"name": "B", "licence": "seats", "admin_emails": []}, organisation="borealis"
        ),
        world.event("course.saved", {"course": "x"}, id_="bad"),
    )
    hooks.add(receiver, "hook", "borealis")
    with receiving() as everybodys, receiving() as of_a_type:
        hooks.add(everybodys, "hook")
        hooks.add(of_a_type, "typed", types=["rollcall.access.activated"])
        hooks.happens(2)
        for status in ("inactive", "active"):
            world.send(world.event("learner.saved", world.learner("B") | {"status": status}, organisation="borealis"))
        world.settle()
        hooks.happens()
        hooks.send()

        assert [request.event["organisation"] for request in receiver.requests] == ["borealis"]
        assert receiver.requests[0].event["data"]["learner"] == "B"
        assert in_order(everybodys.requests) == [event["id"] for event in world.out()][-len(everybodys.requests) :]
        assert {request.event["organisation"] for request in everybodys.requests} >= {"acme", "borealis"}
        assert {request.event["type"] for request in of_a_type.requests} == {"rollcall.access.activated"}
    assert len(world.list("SELECT DISTINCT position FROM webhooks")) == 1, "what is for others was passed over"


def test_what_was_not_written_down_is_sent_again_under_the_same_id(
    hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks.add(receiver)
    ids = hooks.happens(2)

    def dies(*_arguments: object, **_named: object) -> bool:
        raise MemoryError

    with monkeypatch.context() as death:
        death.setattr(sending, "record", dies)
        with pytest.raises(MemoryError):
            hooks.send()
    hooks.send()
    assert receiver.ids == ids, "the lease has not run out"
    hooks.send(again=True)

    assert receiver.ids == ids + ids
    assert hooks.stands().delivered == 2


def test_who_has_lost_a_webhook_writes_nothing(hooks: Hooks, receiver: Receiver) -> None:
    hooks.add(receiver)
    hooks.happens(2)

    def disabled_meanwhile(connection: BinaryIO) -> None:
        with hooks.about() as (session, number):
            store.disable(session, number, "hook")
        connection.write(saying(500))

    receiver.will(disabled_meanwhile)
    hooks.send()

    stands = hooks.stands()
    assert (stands.state, stands.reason, stands.failures, hooks.log()) == (State.DISABLED, "by hand", 0, [])
    assert len(receiver.requests) == 1


def test_of_the_log_the_last_are_kept_and_failures_apart(
    hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "KEPT_ATTEMPTS", 3)
    monkeypatch.setattr(server, "RECORD_SECONDS", 0)
    hooks.add(receiver)
    hooks.happens(8)
    receiver.will(*[saying(500)] * 2)
    for _ in range(3):
        hooks.send(again=True)

    assert [attempt.delivered for attempt in hooks.log()] == [False, False, True, True, True]
    assert [uuid.UUID(request.id) for request in receiver.requests[-3:]] == [a.event for a in hooks.log()[-3:]]
    assert (hooks.stands().delivered, hooks.stands().failed) == (8, 2)


def test_how_webhooks_stand_is_seen_in_the_status(hooks: Hooks, receiver: Receiver) -> None:
    hooks.add(receiver)
    hooks.add(receiver, "other")
    with hooks.about() as (connection, number):
        store.disable(connection, number, "other")
        before = store.health(connection)
    hooks.happens()
    receiver.will(saying(500))
    hooks.send()
    with hooks.about() as (connection, _):
        after = store.health(connection)

    assert before == store.Health(enabled=1, failing=0, disabled=1, lag_seconds=None)
    assert (after.enabled, after.failing, after.disabled) == (1, 1, 1)
    assert after.lag_seconds is not None
    assert 0 < after.lag_seconds < 60


def test_r31_what_goes_wrong_here_is_a_failure_of_that_webhook_and_of_no_other(
    hooks: Hooks, receiver: Receiver
) -> None:
    hooks.add(receiver)
    hooks.add(receiver, "odd")
    ids = hooks.happens(2)
    hooks.world.execute("UPDATE webhooks SET url = 'nowhere' WHERE id = 'odd'")

    with capture_logs() as lines:
        hooks.send()

    assert receiver.ids == ids
    assert hooks.world.ask("SELECT problem FROM webhook_attempts WHERE webhook = 'odd'") == Problem.NOT_SENT
    assert hooks.world.ask("SELECT failures FROM webhooks WHERE id = 'odd'") == 1
    assert "nowhere" not in str(lines)


def test_r31_however_many_webhooks_of_one_organisation_are_due_another_s_is_served_beside_them(
    hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST_OF_ONE", 3)
    world = hooks.world
    world.send(world.event("organisation.saved", {"name": "B", "licence": "seats"}, organisation="borealis"))
    for n in range(5):
        hooks.add(receiver, f"hook{n}", organisation="acme")
    hooks.add(receiver, "alone", organisation="borealis")
    hooks.happens()
    for status in ("active", "inactive"):
        world.send(world.event("learner.saved", world.learner("B") | {"status": status}, organisation="borealis"))
    world.settle()

    async def claimed() -> list[list[str]]:
        server = WebhookServer(hooks.world.runtime)
        (first, _), (then, _) = await server.claim(4), await server.claim(4)
        await server.take_turn(next(webhook for webhook in first if webhook.id != "alone"))
        after, _ = await server.claim(4)
        server.close()
        return [sorted(webhook.id for webhook in found) for found in (first, then, after)]

    first, then, after = asyncio.run(claimed())

    assert len(first) == 4
    assert first[0] == "alone"
    assert then == []
    assert len(after) == 1
    assert set(after).isdisjoint(first)


def test_r31_a_webhook_that_ends_whoever_serves_it_is_disabled_and_those_beside_it_are_served(
    hooks: Hooks, receiver: Receiver
) -> None:
    for id_ in ("beside", "killer"):
        hooks.add(receiver, id_)
    hooks.happens()

    async def ends(*, suspects: bool) -> list[str]:
        """A process serves what is due, and ends by the killer."""
        hooks.world.execute("UPDATE webhooks SET due_at = now()")
        server, seen = WebhookServer(hooks.world.runtime), []
        while found := (await server.claim(1 if suspects else 10, suspects=suspects))[0]:
            seen += sorted(webhook.id for webhook in found)
            if "killer" in seen:
                break
            await server.take_turn(found[0], alone=True)
        server.close()
        return seen

    assert asyncio.run(ends(suspects=False)) == ["beside", "killer"]
    assert asyncio.run(ends(suspects=False)) == [], "what may have ended it is served with nothing beside it"
    tries = [asyncio.run(ends(suspects=True)) for _ in range(server.MOST_TRIES)]
    assert [seen[-1] for seen in tries] == ["killer"] * server.MOST_TRIES
    assert [seen for seen in tries if len(seen) > 1] == [["beside", "killer"]], "it came back"
    before = len(receiver.requests)

    hooks.send(again=True)
    hooks.world.settle()
    hooks.send()

    assert [request.event["data"]["webhook"] for request in receiver.requests[before:]] == ["killer"], "it is told"
    assert hooks.stands("killer").state == "disabled"
    assert hooks.stands("killer").reason == "killed"
    assert hooks.stands("beside").state == "enabled"
    assert hooks.stands("beside").waits_since is None, "it is served"
    [told] = [event["data"] for event in hooks.world.out() if event["type"] == "rollcall.webhook.disabled"]
    assert (told["webhook"], told["reason"]) == ("killer", "killed")


def test_nobody_is_told_that_a_webhook_was_disabled_that_a_person_enabled_before_it_could_be(
    hooks: Hooks, receiver: Receiver
) -> None:
    hooks.add(receiver)
    hooks.happens()
    hooks.world.execute("UPDATE webhooks SET lost = :tries", tries=server.MOST_TRIES + 1)

    async def enabled_meanwhile() -> None:
        serving = WebhookServer(hooks.world.runtime)
        [suspect], _ = await serving.claim(1, suspects=True)
        hooks.enable()
        await serving.take_turn(suspect, alone=True)
        serving.close()

    with capture_logs() as logs:
        asyncio.run(enabled_meanwhile())
    hooks.world.settle()

    assert "rollcall.webhook.disabled" not in [event["type"] for event in hooks.world.out()]
    assert "webhooks.set_aside" not in [entry["event"] for entry in logs]
    assert hooks.stands().state == State.ENABLED
