"""`POST /events`, over a real socket: R6, R31, R32, S16."""

import base64
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from config.settings import Settings
from config.streams import IN
from tasks.mail import ReturnPaths
from tasks.mail.composing.links import Links
from tasks.webhooks import KeyUnreadable, SigningKeys
from tests.workers.deployment import until
from tests.workers.posting import BATCH, EVENT, Platform, batch, signed
from tests.workers.serving import served
from tests.world import World, id_of
from workers import ingress
from workers.web.connections import LONGEST_HEADERS

NEW_KEY, OTHER_KEY, OLD_KEY = bytes(range(32)), bytes(range(1, 33)), b"a key of other times"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Small bounds, quickly reached."""
    return settings.model_copy(
        update={"rollcall_events_bytes": 200_000, "rollcall_events_seconds": 0.4, "rollcall_ingress_batch": 2}
    )


@pytest.fixture
def pages(world: World) -> Iterator[World]:
    """The world, with its way in open."""
    with served(world.runtime) as runtime:
        world.runtime = runtime
        yield world


@pytest.fixture
def platform(pages: World) -> Iterator[Platform]:
    """A platform that has the key."""
    found = Platform(pages.runtime.endpoints.public_url)
    yield found
    found.close()


def learner(world: World, id_: str) -> bytes:
    return world.event("learner.saved", world.learner(id_))


def learners(world: World) -> set[str]:
    return set(world.list("SELECT id FROM learners"))


def test_r32_what_is_posted_is_stored_when_it_is_answered_and_posted_again_does_nothing(
    pages: World, platform: Platform
) -> None:
    one = learner(pages, "A")
    several = [learner(pages, id_) for id_ in "BCDEF"]

    first = platform.post(one)
    assert (first.status, first.said) == (202, {"events": 1, "new": 1, "repeated": 0, "held": 0, "malformed": 0})
    assert learners(pages) == {"A"}
    again = platform.post(one, 'Application/CloudEvents+JSON; charset="UTF-8"')
    together = platform.post(batch(one, *several), BATCH)
    in_chunks = platform.send(iter([one[:9], one[9:]]), {"Content-Type": "application/json", **signed_by_us(one)})
    waits = platform.post(pages.event("course.started", {"learner": "A", "course": "nothing"}))

    assert (again.status, again.said["repeated"]) == (202, 1)
    assert (together.status, together.said) == (202, {"events": 6, "new": 5, "repeated": 1, "held": 0, "malformed": 0})
    assert (in_chunks.status, in_chunks.said["repeated"]) == (202, 1)
    assert (waits.status, waits.said["held"]) == (202, 1)
    assert platform.post(b"[]", BATCH).said["events"] == 0
    assert learners(pages) == {"A", "B", "C", "D", "E", "F"}
    numbers = platform.send(None, {}, method="GET", path="/metrics").said
    assert 'rollcall_events_posts_total{status="202"} 6.0' in numbers


def signed_by_us(body: bytes) -> dict[str, str]:
    return signed(body, b"only for tests")


def test_s16_what_is_malformed_is_quarantined_and_answered_and_stops_nothing(pages: World, platform: Platform) -> None:
    broken = pages.event("learner.saved", {"learner": 7}, id_="e-broken")

    mixed = platform.post(batch(learner(pages, "A"), learner(pages, "B"), learner(pages, "C"), broken), BATCH)
    alone = platform.post(broken)
    no_json, no_batch = platform.post(b"{not json"), platform.post(learner(pages, "D"), BATCH)

    deep = platform.post(batch(learner(pages, "D"), b"[" * 50_000 + b"]" * 50_000), BATCH)

    assert (mixed.status, mixed.said["new"], mixed.said["malformed"]) == (202, 3, 1)
    assert mixed.said["reasons"] == ["event 4: Expected `str`, got `int` - at `$.learner`"]
    assert (alone.status, no_json.status, no_batch.status, deep.status) == (400, 400, 400, 400)
    assert "got `int`" in alone.said["error"]
    assert "not JSON" in no_json.said["error"]
    assert "no batch, which is a JSON array" in no_batch.said["error"]
    assert learners(pages) == {"A", "B", "C"}
    held = pages.rows("SELECT id, reason FROM inbox WHERE state = 'quarantined' ORDER BY seq")
    assert [reason for _, reason in held] == ["malformed"] * 4
    assert platform.post(pages.event("learner.saved", pages.learner("E"), id_="e-broken")).said["new"] == 1


def test_r31_what_nobody_signed_who_may_is_refused_and_kept_nowhere(pages: World, platform: Platform) -> None:
    body = learner(pages, "A")
    ours = signed_by_us(body)
    good: dict[str, str | bytes] = {"Content-Type": EVENT, **ours}
    signature = ours["webhook-signature"]
    no_header = [{name: text for name, text in good.items() if name != missing} for missing in ours]
    changed: list[dict[str, str | bytes]] = [
        {"webhook-id": "another"},
        {"webhook-id": b"\xff\xfe"},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "9" * 5000},
        {"webhook-timestamp": b"\xb2"},
        {"webhook-signature": b"v1,\xff"},
        {"webhook-signature": "v1,,,v1 v1 , v2,x v1,AAAA"},
        {"webhook-signature": signature[:-3] + "AA="},
        {"webhook-signature": signature.replace("v1,", "v1a,")},
        {"webhook-signature": " ".join(f"v1,{base64.b64encode(bytes([n] * 32)).decode()}" for n in range(200))},
    ]

    answers = [platform.send(body, headers) for headers in no_header + [good | change for change in changed]]
    answers += [platform.send(body + b" ", good), platform.post(body, key=b"a guess"), platform.post(b"{", key=b"")]
    aged = [platform.post(body, ago=ago) for ago in (310, -310)]

    assert [answer.status for answer in answers + aged] == [401] * 18
    assert {answer.said["error"] for answer in aged} == {"webhook-timestamp is more than 5 minutes from now."}
    assert not any("only for tests" in answer.said["error"] for answer in answers)
    assert platform.post(b"\xff").status == 400
    assert (learners(pages), pages.quarantine()) == (set(), {})
    several = f"v1a,x v1,{'A' * 43}=  {signature}"
    assert platform.send(body, good | {"webhook-signature": several}).status == 202
    assert platform.post(body, ago=290).said["repeated"] == 1, "a replay has no effect"


class TestWithKeys:
    """Where the key is being replaced."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        keys = f"whsec_{base64.b64encode(NEW_KEY).decode()}, {OLD_KEY.decode()}"
        return settings.model_copy(update={"rollcall_events_key": SecretStr(keys)})

    def test_r31_every_key_is_accepted_and_no_other(self, pages: World, platform: Platform) -> None:
        body = learner(pages, "A")
        now = datetime.now(UTC)
        by_library = Webhook(f"whsec_{base64.b64encode(NEW_KEY).decode()}").sign("m", now, body.decode())
        headers = {"webhook-id": "m", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": by_library}

        assert platform.send(body, {"Content-Type": EVENT, **headers}).status == 202
        assert [platform.post(body, key=key).status for key in (NEW_KEY, OLD_KEY)] == [202, 202]
        assert platform.post(body).status == 401, "SECRET_KEY signs nothing where there is a key for it"


class TestMadeOfTheSecretKey:
    """Where no key for posts is set."""

    @pytest.fixture
    def settings(self, settings: Settings, request: pytest.FixtureRequest) -> Settings:
        return settings.model_copy(update={"rollcall_events_secret_key": getattr(request, "param", True)})

    @pytest.mark.parametrize(("settings", "old"), [(True, 202), (False, 401)], indirect=["settings"])
    def test_r31_the_key_for_posts_signs_posts_and_nothing_else(
        self, pages: World, platform: Platform, old: int
    ) -> None:
        body, secret = learner(pages, "A"), pages.runtime.endpoints.secret_key
        key = pages.runtime.events_keys[0].key

        with capture_logs() as lines:
            answers = [platform.post(body, key=base64.b64decode(key.removeprefix("whsec_"))), platform.post(body)]

        assert [answer.status for answer in answers] == [202, old]
        assert [line["event"] for line in lines if "secret" in line["event"]] == (
            ["posted.signed_with_secret_key"] if old == 202 else []
        )
        links = Links(pages.runtime.endpoints.public_url, [secret])
        assert links.read(Links("", [secret]).token(1, 1)) == (1, 1)
        for forger in (key, key.removeprefix("whsec_"), base64.b64decode(key.removeprefix("whsec_")).hex()):
            assert links.read(Links("", [forger]).token(1, 1)) is None
            address = ReturnPaths("b@example.org", forger).sender(1, 1, 1, "a@example.org")
            assert ReturnPaths("b@example.org", secret).read(address or "") is None
            with pytest.raises(KeyUnreadable):
                SigningKeys(forger).read([SigningKeys(secret).make()[1]])

    def test_what_was_made_of_a_secret_key_before_is_still_good(self) -> None:
        kept = "gAAAAAAAAAAAQfp6jjlPqdfM3so_DKsF9gp78414OdLJzitT9mBaw_w632A_3AaC4QhfD5p250758-uGzlfwMHPeUcbnWc384Q=="

        assert Links("", ["new", "only for tests"]).read("AQAAAAcAAAAJpzw6q9A6ufvQamTJaljzmHBQ") == (7, 9)
        found = ReturnPaths("b@example.org", "new,only for tests").read("b+0410cki0n7jecktp6v4ajkg@example.org")
        assert found
        assert (found.organisation, found.mailing, found.recipient) == (1, 2, 3)
        assert SigningKeys("new,only for tests").read([kept]) == ["whsec_AAAA"]


class TestBoundToAnOrganisation:
    """Where one key signs for one organisation, and one for all."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        mine, another = (base64.b64encode(key).decode() for key in (NEW_KEY, OTHER_KEY))
        keys = f"acme = whsec_{mine}, globex=whsec_{another}, {OLD_KEY.decode()}"
        return settings.model_copy(update={"rollcall_events_key": SecretStr(keys)})

    def test_r31_a_key_that_is_bound_signs_for_its_organisation_alone(self, pages: World, platform: Platform) -> None:
        theirs = pages.event("organisation.saved", {"name": "Globex", "licence": "seats"}, organisation="globex")
        broken = pages.event("learner.saved", {"learner": 7}, organisation="globex")
        twice = learner(pages, "C").replace(b"{", b'{"organisation": "acme", ', 1).replace(b'"acme"}', b'"globex"}')

        mixed = platform.post(batch(learner(pages, "A"), theirs, broken, learner(pages, "B")), BATCH, key=NEW_KEY)
        alone = platform.post(theirs, key=NEW_KEY)
        nameless = platform.post(b"{}", key=NEW_KEY)
        no_batch = platform.post(theirs, BATCH, key=NEW_KEY)
        platform.post(twice, key=NEW_KEY)

        assert (mixed.status, mixed.said["new"], mixed.said["malformed"], mixed.said["refused"]) == (202, 2, 0, 2)
        why = "the key that signed it is for another organisation"
        assert mixed.said["reasons"] == [f"event 2: {why}", f"event 3: {why}"]
        assert (alone.status, alone.said["refused"], nameless.status, no_batch.status) == (403, 1, 400, 400)
        assert pages.list("SELECT id FROM organisations") == ["acme"]
        assert pages.list("SELECT organisation FROM inbox WHERE organisation IS DISTINCT FROM 'acme'") == [None]
        assert [platform.post(theirs, key=key).said.get("new") for key in (OLD_KEY, OTHER_KEY)] == [1, 0]

    def test_r31_whoever_posts_for_one_uses_up_no_id_of_another(self, pages: World, platform: Platform) -> None:
        theirs = pages.event("organisation.saved", {"name": "G", "licence": "seats"}, id_="1", organisation="globex")

        mine = platform.post(pages.event("learner.saved", pages.learner("A"), id_="1"), key=NEW_KEY)
        answer = platform.post(theirs, key=OLD_KEY)

        assert (mine.said["new"], answer.said["new"]) == (1, 1)

    def test_a_post_that_several_keys_signed_is_for_all_of_them(self, pages: World, platform: Platform) -> None:
        body = learner(pages, "A")
        signatures = [signed(body, key, id_="m")["webhook-signature"] for key in (OTHER_KEY, NEW_KEY)]
        headers = signed(body, NEW_KEY, id_="m") | {"webhook-signature": " ".join(signatures)}

        assert platform.send(body, {"Content-Type": EVENT, **headers}).said["new"] == 1
        assert platform.post(body, key=OTHER_KEY).status == 403


def test_r31_what_is_posted_beyond_a_bound_waits_for_its_turn_and_is_stored(
    pages: World, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.events.rules.TURN", 1)
    bodies = [learner(pages, id_) for id_ in "ABCD"]

    first = platform.post(batch(*bodies), BATCH)
    again = platform.post(batch(*bodies), BATCH)

    assert (first.status, first.said) == (202, {"events": 4, "new": 4, "repeated": 0, "held": 3, "malformed": 0})
    assert (again.status, again.said["repeated"]) == (202, 4)
    pages.settle()
    assert learners(pages) == set("ABCD")


def test_only_cloudevents_are_taken_and_only_so_large(pages: World, platform: Platform) -> None:
    body = learner(pages, "A")

    def kind(**headers: str) -> int:
        names = {name.replace("_", "-"): text for name, text in headers.items()}
        return platform.send(body, signed_by_us(body) | names).status

    assert kind() == kind(content_type="text/plain") == kind(content_type="application/cloudevents+xml") == 415
    assert kind(content_type=EVENT + "; charset=latin-1") == kind(content_type=EVENT, content_encoding="gzip") == 415
    assert kind(content_type="application/json", ce_id="1") == 415, "the binary mode"
    got = platform.send(None, {}, method="GET")
    assert (got.status, got.headers["allow"]) == (405, "POST")

    large = body + b" " * 200_000
    assert platform.post(large).status == 413
    assert (
        platform.send(iter([large[:150_000], large[150_000:]]), {"Content-Type": EVENT, **signed_by_us(large)}).status
        == 413
    )
    too_many = platform.post(batch(*[b"1"] * 5001), BATCH)
    assert (too_many.status, too_many.said["error"]) == (
        413, "There are 5,001 events in it, and 5,000 at most are taken at once.",
    )  # fmt: skip
    assert pages.quarantine() == {}
    assert platform.post(body).status == 202


def raw(world: World, *pieces: bytes) -> bytes:
    """What is answered to these octets, until the server hangs up."""
    address = urlsplit(world.runtime.endpoints.public_url)
    assert address.hostname
    assert address.port
    with socket.create_connection((address.hostname, address.port), timeout=20) as line:
        for piece in pieces:
            line.sendall(piece)
        return b"".join(iter(lambda: line.recv(65536), b""))


def test_who_is_slow_and_who_speaks_no_http_do_no_harm(pages: World, platform: Platform) -> None:
    body = learner(pages, "A")
    head = "".join(f"{name}: {text}\r\n" for name, text in {"Content-Type": EVENT, **signed_by_us(body)}.items())
    unfinished = f"POST /events HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:9]

    assert raw(pages, unfinished).startswith(b"HTTP/1.1 408 ")
    assert raw(pages, b"\x16\x03\x01 no HTTP\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert raw(pages, b"GET / HTTP/1.1\r\nX: " + b"x" * 2 * LONGEST_HEADERS).startswith(b"HTTP/1.1 400 ")
    assert platform.post(body).status == 202


def test_r33_where_the_database_is_away_nothing_is_lost_that_is_sent_again(world: World) -> None:
    body = learner(world, "A")
    nowhere = world.runtime.endpoints.database_url.replace("/test_", "/no_test_")
    with served(replace(world.runtime, endpoints=replace(world.runtime.endpoints, database_url=nowhere))) as runtime:
        answer = Platform(runtime.endpoints.public_url).post(body)

    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.said == {"error": "The events cannot be stored now: send all of them again."}
    with served(world.runtime) as runtime:
        assert Platform(runtime.endpoints.public_url).post(body).said["new"] == 1


def test_r26_the_same_start_over_both_ways_at_once_is_taken_once(pages: World) -> None:
    pages.has_learners("A")
    pages.has_course("safety", "everyone")
    start = pages.event("course.started", {"learner": "A", "course": "safety"})
    reader = replace(pages.runtime, stopping=threading.Event())
    for _ in range(20):
        pages.redis.xadd(IN, {"event": start})
    reading = threading.Thread(target=ingress.run, args=(reader,))
    reading.start()

    def post(_: int) -> int:
        platform = Platform(pages.runtime.endpoints.public_url)
        answer = platform.post(batch(start, start, start), BATCH)
        platform.close()
        assert answer.status == 202
        return int(answer.said["new"])

    try:
        with ThreadPoolExecutor(8) as threads:
            news = sum(threads.map(post, range(24)))
        until(lambda: pages.redis.xpending(IN, "rollcall")["pending"] == 0, "the stream is read")
    finally:
        reader.stopping.set()
        reading.join(10)

    assert news <= 1
    assert [entry.event for entry in pages.ledger()] == [id_of(start)]
