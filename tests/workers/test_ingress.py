"""The ingress beside a test: R32, R33."""

import itertools
import re
import threading
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from structlog.testing import capture_logs

from config.settings import Settings
from config.streams import GROUP, IN, make_redis
from tasks.system import streams, system_state
from tests.workers.deployment import DEADLINE, Valkey, until
from tests.world import World
from workers import ingress
from workers.queues import QUEUES, Broker, message_for
from workers.web import watching


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Whoever is silent for long is dead."""
    return settings.model_copy(update={"rollcall_lease_seconds": 0.3})


def test_r33_what_a_dead_reader_left_is_taken_over_though_the_stream_is_never_quiet(platform: World) -> None:
    ingress.ensure_group(platform.redis)
    left = platform.event("learner.saved", platform.learner("left-behind"))
    platform.redis.xadd(IN, {"event": left})
    assert platform.redis.xreadgroup(GROUP, "dead", {IN: ">"})
    stop = platform.runtime.stopping

    def keep_busy() -> None:
        for n in itertools.count():
            platform.redis.xadd(IN, {"event": platform.event("learner.saved", platform.learner(f"L{n}"))})
            if stop.wait(0.01):
                return

    threads = [threading.Thread(target=keep_busy), threading.Thread(target=ingress.run, args=(platform.runtime,))]
    for thread in threads:
        thread.start()
    try:
        until(
            lambda: bool(platform.list("SELECT 1 FROM learners WHERE id = 'left-behind'")),
            "the event of the dead reader",
            seconds=10,
        )
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert platform.ask("SELECT count(*) FROM learners") > 1, "the stream was busy meanwhile"


def test_r32_an_entry_that_holds_no_event_is_set_aside_and_stops_nothing(platform: World) -> None:
    client = platform.redis
    ingress.ensure_group(client)
    event = platform.event("learner.saved", platform.learner("A"))
    for fields in ({"other": "1"}, {b"\xff\x00": b"\xfe"}, {"event": b"\xff\x00\x01"}, {"event": event, "more": "2"}):
        client.xadd(IN, fields)  # type: ignore[arg-type]
    gone = client.xadd(IN, {"event": platform.event("learner.saved", platform.learner("B"))})
    assert client.xreadgroup(GROUP, "dead", {IN: ">"})
    client.xdel(IN, gone)

    ingress.take_over(platform.runtime, client, "living", 0)

    assert platform.list("SELECT id FROM learners") == ["A"]
    assert client.xpending(IN, GROUP)["pending"] == 0
    held = platform.rows("SELECT reason, detail, body FROM inbox WHERE body IS NOT NULL")
    whole, other, odd = sorted(body for _, _, body in held)
    assert (whole, other, odd) == (b'{"\\\\xff\\u0000":"\\\\xfe"}', b'{"other":"1"}', b"\xff\x00\x01")
    assert (
        sorted((reason, detail) for reason, detail, body in held if body != odd)
        == [("malformed", ingress.NO_EVENT)] * 2
    )


def test_r33_dead_readers_are_forgotten_but_not_what_they_left(platform: World) -> None:
    client = platform.redis
    ingress.ensure_group(client)
    client.xadd(IN, {"event": platform.event("learner.saved", platform.learner("A"))})
    assert client.xreadgroup(GROUP, "died with an event", {IN: ">"})
    client.xgroup_createconsumer(IN, GROUP, "died with nothing")
    until(lambda: all(reader["idle"] > 20 for reader in client.xinfo_consumers(IN, GROUP)), "both are idle")
    client.xgroup_createconsumer(IN, GROUP, "living")

    assert ingress.forget_the_dead(client, 3_600_000) == 0
    assert ingress.forget_the_dead(client, 15) == 1

    assert {reader["name"] for reader in client.xinfo_consumers(IN, GROUP)} == {b"died with an event", b"living"}
    client.delete(IN)
    assert ingress.forget_the_dead(client, 0) == 0


def test_r33_what_was_trimmed_before_it_was_taken_is_counted_and_a_redis_that_evicts_is_named(platform: World) -> None:
    client = platform.redis
    ingress.ensure_group(client)
    for id_ in ("A", "B", "C"):
        client.xadd(IN, {"event": platform.event("learner.saved", platform.learner(id_))})
    assert client.xreadgroup(GROUP, "dead", {IN: ">"}, count=3)
    client.xtrim(IN, maxlen=1, approximate=False)

    with capture_logs() as lines:
        ingress.take_over(platform.runtime, client, "living", 0)
        ingress.take_over(platform.runtime, client, "living", 0)
    assert [line["entries"] for line in lines if line["event"] == "ingress.entries_lost"] == [2]
    assert platform.list("SELECT id FROM learners") == ["C"]

    before = client.config_get("maxmemory-policy")["maxmemory-policy"] or "noeviction"
    try:
        with capture_logs() as lines:
            for policy in ("noeviction", "volatile-ttl", "allkeys-lru"):
                client.config_set("maxmemory-policy", policy)
                ingress._warn_of_eviction(client)
    finally:
        client.config_set("maxmemory-policy", before)
    assert [(line["policy"], line["log_level"]) for line in lines] == [
        ("volatile-ttl", "warning"),  # of what is ours, only what may be lost expires
        ("allkeys-lru", "error"),
    ]


def test_r33_a_user_of_redis_with_the_least_rights_is_enough(platform: World, valkey: Valkey) -> None:
    """The rights are those that docs/guides/operator.md says; a Redis lists what it refused."""
    guide = (Path(__file__).parents[2] / "docs/guides/operator.md").read_text()
    [rights] = re.findall(r"only these rights:\n  `(.*)`", guide)
    platform.redis.execute_command(  # type: ignore[no-untyped-call]
        "ACL SETUSER", "rollcall", "on", ">pw", *rights.split()
    )
    url = valkey.url.replace("//", "//rollcall:pw@")
    runtime = replace(platform.runtime, endpoints=replace(platform.runtime.endpoints, redis_url=url))
    platform.redis.xadd(IN, {"event": platform.event("learner.saved", platform.learner("A"))})
    platform.redis.xgroup_create(IN, GROUP, id="0")
    assert platform.redis.xreadgroup(GROUP, "dead", {IN: ">"})

    with make_redis(url) as client, capture_logs() as lines:
        taking = threading.Thread(target=ingress.run, args=(runtime,))
        taking.start()
        try:
            until(lambda: platform.list("SELECT id FROM learners") == ["A"], "the event")
        finally:
            runtime.stopping.set()
            taking.join()
        runtime = replace(runtime, stopping=threading.Event())
        world = replace(platform, runtime=runtime)
        world.announces()
        world.comes_to_rest()
        for queue in QUEUES:
            Broker(url).wake(queue, [message_for(queue, "mail.send", 1, 1)])
            assert next(Broker(url).consume(queue)) is None
        assert watching._redis_answers(runtime, client)
        assert system_state(runtime, client).at_rest
        streams(runtime, client)

    assert world.progress("news").accepted == 1
    refused = [entry["object"] for entry in platform.redis.acl_log()]
    assert (set(refused), [line for line in lines if line["log_level"] == "error"]) == ({"info"}, [])


def test_what_is_read_has_one_shape_whatever_protocol_the_url_asks_for(platform: World) -> None:
    url = platform.runtime.endpoints.redis_url
    platform.redis.xadd(IN, {"event": b"{}"})
    for protocol in ("2", "3"):
        with make_redis(f"{url}{'&' if '?' in url else '?'}protocol={protocol}") as client:
            ingress.ensure_group(client)
            [[stream, [[_, fields]]]] = client.xreadgroup(GROUP, "me", {IN: ">"})
            assert (stream, fields) == (IN.encode(), {b"event": b"{}"})
            client.xgroup_destroy(IN, GROUP)


def test_r33_what_was_read_as_the_database_went_away_is_taken_together_as_soon_as_it_is_back(
    platform: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = platform.runtime.settings.model_copy(update={"rollcall_lease_seconds": 600.0})
    runtime = replace(platform.runtime, settings=patient)
    reading, pauses, wait = (
        threading.Thread(target=ingress.run, args=(runtime,)),
        threading.Event(),
        runtime.stopping.wait,
    )

    def paused(seconds: float) -> bool:
        pauses.set()
        return wait(seconds)

    monkeypatch.setattr(runtime.stopping, "wait", paused)
    url = runtime.endpoints.database_url
    name = urlsplit(url).path.removeprefix("/")
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
    with (
        psycopg.connect(url.replace(f"/{name}?", "/rollcall?"), autocommit=True) as admin,
        psycopg.connect(url) as other,
    ):

        def allow(connections: str) -> None:
            said = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
            admin.execute(said.format(sql.Identifier(name), sql.SQL(connections)))

        other.execute("LOCK TABLE learners")
        with platform.redis.pipeline() as pipe:
            for n in range(50):
                pipe.xadd(IN, {"event": platform.event("learner.saved", platform.learner(f"L{n}"))})
            pipe.execute()
        reading.start()
        try:
            until(lambda: bool(admin.execute(waiting, (name,)).fetchall()), "the ingress waits for the lock")
            allow("false")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            other.close()
            assert pauses.wait(DEADLINE), "it gives up for now"
            allow("true")
            until(lambda: platform.list("SELECT count(*) FROM learners") == [50], "all of it")
        finally:
            allow("true")
            runtime.stopping.set()
            reading.join(10)
    assert platform.list("SELECT count(DISTINCT xmin::text) FROM learners") == [1], "together"
