"""Nothing that names a learner who was erased is left in any table, payload or stream: S15, R35."""

from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.database import transaction
from config.streams import GROUP, IN, OUT
from tasks import mail, seats
from tasks.erasure.rules import Erased, Needles
from tasks.events import replays
from tasks.system import observe, trim
from tests.world import DAWN, World, id_of, work_on
from workers import ingress

#: Is in everything that names the learner.
CANARY = "zzcanary"
OLD, NEW = f"{CANARY}.Old@person.example", f"{CANARY}@person.example"
CALLED: dict[str, Any] = {"first_name": f"{CANARY}-first", "last_name": f"{CANARY}-last", "username": f"{CANARY}-user"}
HOUR = timedelta(hours=1)


def in_tables(world: World) -> dict[str, list[str]]:
    """Every row of every table that has the canary in it, payloads included."""
    tables = world.list(
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
    )
    octets = {"inbox": "encode(body, 'escape')"}
    found = {
        table: [str(row) for row in world.rows(f"SELECT CAST(t AS text), {octets.get(table, 'null')} FROM {table} t")]
        for table in tables
    }
    named = {table: [row for row in rows if CANARY in row.lower()] for table, rows in found.items()}
    return {table: rows for table, rows in named.items() if rows}


def in_redis(world: World) -> list[str]:
    """Everything in Redis that has the canary in it."""
    read: dict[Any, str] = {
        b"stream": "XRANGE {} - +",
        b"string": "GET {}",
        b"list": "LRANGE {} 0 -1",
        b"hash": "HGETALL {}",
    }
    read |= {b"zset": "ZRANGE {} 0 -1", b"set": "SMEMBERS {}"}
    found: list[str] = []
    for key in world.redis.scan_iter():
        words = read[world.redis.type(key)].split()
        said: Any = world.redis.execute_command(  # type: ignore[no-untyped-call]
            *(key if word == "{}" else word for word in words)
        )
        found += [str(one) for one in (said if isinstance(said, list) else [said]) if CANARY in str(one).lower()]
    return found


def suppress(world: World, address: str, organisation: str = "acme") -> None:
    with world.about(organisation) as (connection, org):
        mail.suppress(connection, org.organisation, address, mail.Suppressed.BY_HAND, why="tests", by="ann")


def replay(world: World) -> None:
    """Publish everything once more."""
    with transaction(world.runtime.engine) as connection:
        through = replays.published(connection)
        replays.replay(connection, replays.ReplayRequest(since=1), through, dry=False)
    world.settle()


def read(world: World, *bodies: bytes) -> None:
    """The platform puts events on the stream, and they are taken; a group of somebody else's never reads them."""
    ingress.ensure_group(world.redis)
    world.redis.xgroup_create(IN, "elsewhere", id="0")
    world.redis.xgroup_create(OUT, "elsewhere", id="0", mkstream=True)
    for body in bodies:
        world.redis.xadd(IN, {"event": body})
    world.redis.xreadgroup(GROUP, "dead", {IN: ">"})
    ingress.take_over(world.runtime, world.redis, "living", 0)
    trim(world.redis, IN, observe(world.redis, IN))


def look(world: World) -> None:
    """Look once for who was erased."""
    [(organisation, piece)] = world.rows("SELECT organisation, work FROM work WHERE actor = 'learners.erase'")
    work_on(world.runtime, "learners.erase", organisation, piece)


def loses_a_race(world: World) -> None:
    """The next transaction that changes what was set aside is undone as it ends."""
    world.execute("CREATE SEQUENCE changes")
    world.execute(
        "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('changes') = 1 THEN"
        " RAISE EXCEPTION 'a race' USING ERRCODE = 'serialization_failure'; END IF; RETURN NULL; END $$"
    )
    world.execute(
        "CREATE CONSTRAINT TRIGGER lose AFTER UPDATE ON inbox DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION lose()"
    )


def refuses_it(world: World) -> None:
    """Who is sent the void password refuses it, and says whose it is."""
    event = world.ask("SELECT id FROM outbox WHERE type = 'rollcall.learner.password_void'")
    world.execute("INSERT INTO webhooks (organisation, id, url, key, position) VALUES (1, 'w', 'https://w', '', 0)")
    world.execute(
        "INSERT INTO webhook_attempts VALUES (1, 'w', false, 1, :event, 't', 1, now(), 500, 'refused', 1, :said)",
        event=event,
        said=f"no {CANARY} here",
    )


def test_s15_nothing_that_names_who_was_erased_is_left_anywhere(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for page in ("PAGE", "PAGE_READ"):
        monkeypatch.setattr(f"tasks.erasure.actors.{page}", 1)
    world.execute("ALTER TABLE learners ADD CHECK (locale <> 'xx')")
    world.mail.on_recipient = lambda address, _times: f"550 5.1.1 {address} is not here" if CANARY in address else None
    world.has_course("safety", "everyone", at=DAWN)
    saved = world.event("learner.saved", world.learner("A", **CALLED, email=OLD, version=1))
    by_name = world.event("learner.saved", world.learner("U", **CALLED, email=None, version=1))
    neighbour = world.event("learner.saved", world.learner("B", version=1))
    read(world, saved, by_name, neighbour)
    suppress(world, OLD)
    world.has_learners("A", **CALLED, email=NEW, version=2)
    world.announces("personal", subject="{{ first_name }}", body=f"Dear {CANARY}.", audience={"learners": ["A"]})
    world.starts("A", "safety")
    world.becomes("inactive", "U")
    world.becomes("active", "U")
    world.comes_to_rest()
    replay(world)
    with world.about() as (connection, org):
        mail.lift(connection, org.organisation, mail.Chosen([NEW.lower()]), why="tests", by="ann")
    suppress(world, NEW)
    refused = world.event("learner.saved", world.learner("A", **CALLED, email=NEW, locale="xx", version=3))
    start = world.event("course.started", {"learner": "A", "course": "later", "who": CALLED, "email": OLD})
    segment = {"audience": {"segments": ["later"]}, "subject": "Hello", "announcement": "shared"}
    shared = world.event("announcement.requested", {**segment, "body": f"Ask {NEW}, or b@acme.example."})
    of_b = world.event("learner.saved", world.learner("B", locale="xx", version=4))
    malformed = world.event("learner.saved", {"learner": "A", "email": 7, "first_name": CALLED["first_name"]})
    world.send(refused, start, shared, of_b, malformed, f'{{"cut": "{NEW}", "da'.encode())
    refuses_it(world)
    places = {"learners", "deliveries", "suppressions", "lifted_suppressions", "mailings", "outbox", "inbox"}
    assert in_tables(world).keys() >= places | {"webhook_attempts"}
    assert len(in_redis(world)) == 4, "two descriptions, a void password and its replay"

    with capture_logs() as lines:
        world.say("learner.deleted", learner="A")
        world.say("learner.deleted", learner="U")
        world.comes_to_rest()

    assert in_tables(world) == {}
    assert in_redis(world) == []
    assert CANARY not in str(lines).lower()
    replay(world)
    assert in_redis(world) == []
    assert world.ask("SELECT count(*) FROM outbox WHERE type = 'rollcall.learner.password_void'") == 1
    with world.about() as (connection, org):
        assert not any(seats.checks(connection, org))
    assert [(entry.learner, entry.amount) for entry in world.ledger()] == [(None, 1)]

    held = world.quarantine()
    assert set(held) == {id_of(start), id_of(shared), id_of(of_b)}
    assert "b@acme.example" in held[id_of(shared)].payload
    assert held[id_of(of_b)].payload == of_b.decode()
    assert world.rows("SELECT DISTINCT resolved_by, resolved_why FROM inbox WHERE state = 'discarded'") == [
        ("rollcall", "the learner was erased")
    ]
    left: Any = world.redis.xrange(IN)
    assert any(b'"B"' in fields[b"event"] for _, fields in left)


def test_s15_what_is_anothers_or_somebody_elses_stays(world: World) -> None:
    world.send(world.event("organisation.saved", {"name": "Globex", "licence": "seats"}, organisation="globex"))
    world.has_learners("A", "SHARES", **CALLED, email=NEW, at=DAWN)
    for organisation in ("acme", "globex"):
        suppress(world, NEW, organisation)
    malformed = world.event("learner.saved", {"learner": "A", "email": 7}, organisation="globex")
    world.send(malformed)
    not_taken = [world.event("learner.saved", world.learner("A", **CALLED, email=NEW)) for _ in ("begun", "unread")]
    ingress.ensure_group(world.redis)
    for body in not_taken:
        world.redis.xadd(IN, {"event": body})
    world.redis.xreadgroup(GROUP, "dead", {IN: ">"}, count=1)

    world.say("learner.deleted", learner="A")
    world.comes_to_rest()

    left: Any = world.redis.xrange(IN)
    assert [fields[b"event"] for _, fields in left] == not_taken, "they are void when they are taken"
    assert world.list("SELECT organisation FROM suppressions ORDER BY 1") == [1, 2]
    assert world.quarantine()[id_of(malformed)].payload == malformed.decode()


def test_s15_who_is_saved_anew_keeps_what_came_after_the_deletion(world: World) -> None:
    world.execute("ALTER TABLE learners ADD CHECK (locale <> 'xx')")
    world.has_learners("A", **CALLED, email=None, version=1, at=DAWN)
    before = world.event("learner.saved", world.learner("A", locale="xx", version=2), at=DAWN + HOUR)
    after = world.event("learner.saved", world.learner("A", locale="xx", version=4), at=DAWN + 4 * HOUR)
    world.send(before, after)

    world.say("learner.deleted", learner="A", at=DAWN + 2 * HOUR)
    world.has_learners("A", version=3, at=DAWN + 3 * HOUR)
    world.comes_to_rest()

    assert set(world.quarantine()) == {id_of(after)}
    assert world.list("SELECT username FROM learners") == ["user-A"]


def test_s15_what_is_kept_of_somebody_nobody_saved_goes_too(world: World) -> None:
    world.execute("ALTER TABLE learners ADD CHECK (locale <> 'xx')")
    refused = world.event("learner.saved", world.learner("A", **CALLED, locale="xx"), at=DAWN)
    world.send(refused)

    world.say("learner.deleted", learner="A", at=DAWN + HOUR)
    loses_a_race(world)
    look(world)

    assert in_tables(world) == {}
    assert world.list("SELECT state FROM work WHERE actor = 'learners.erase'") == ["scheduled"], "it is done, once"
    assert [held.reason for held in world.quarantine().values()] == ["unknown learner"]


def test_s15_many_who_are_erased_are_looked_for_some_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.erasure.store.MOST", 3)
    world.has_learners(*"ABCDEFG", first_name=f"{CANARY}-first", last_name="Last")
    waiting = [world.event("course.started", {"learner": id_, "course": "x", "note": CANARY}) for id_ in "ABCDEFG"]
    world.send(*waiting)

    world.send(*(world.event("learner.deleted", {"learner": id_}) for id_ in "ABCDEFG"))
    look(world)

    assert world.ask("SELECT count(*) FROM erasures WHERE looked_at IS NULL") == 4
    assert world.list("SELECT failures FROM work WHERE state = 'due'") == [0]
    world.settle()
    assert world.ask("SELECT count(*) FROM erasures WHERE looked_at IS NULL") == 0
    assert world.ask("SELECT count(*) FROM erasures WHERE looked_at IS NOT NULL") == 7


def test_s15_who_is_being_published_is_looked_for_again_soon(world: World) -> None:
    world.has_learners("U", **CALLED, email=None)
    world.becomes("inactive", "U")
    world.becomes("active", "U")
    world.say("learner.deleted", learner="U")

    look(world)

    assert world.ask("SELECT count(*) FROM erasures WHERE looked_at IS NULL") == 1
    assert world.list("SELECT failures FROM work WHERE actor = 'learners.erase' AND state = 'due'") == [0]
    world.comes_to_rest()
    assert world.ask("SELECT count(*) FROM erasures WHERE looked_at IS NULL") == 0
    assert world.out("learner.password_void") == []


def test_r31_one_worker_at_a_time_looks_for_who_was_erased(world: World) -> None:
    world.has_learners("A", "B")
    world.say("learner.deleted", learner="A")
    world.say("learner.deleted", learner="B")
    first, _ = world.list("SELECT work FROM work ORDER BY work")
    world.execute("UPDATE work SET state = 'running', due_at = now() + interval '1 minute' WHERE work = :n", n=first)

    world.settle()

    assert world.ask("SELECT count(*) FROM erasures WHERE looked_at IS NULL") == 2
    assert world.list("SELECT failures FROM work WHERE state = 'due' AND due_at > now()") == [0]
    world.execute("UPDATE work SET state = 'due', due_at = now()")
    world.settle()
    assert world.ask("SELECT count(*) FROM erasures WHERE looked_at IS NULL") == 0


def test_s15_what_was_under_way_is_looked_for_once_more_and_then_the_erasure_is_forgotten(world: World) -> None:
    world.has_learners("A", **CALLED, email=OLD)
    world.has_learners("A", **CALLED, email=NEW)
    world.announces()
    world.comes_to_rest()
    world.say("learner.deleted", learner="A")
    world.comes_to_rest()
    world.execute("UPDATE deliveries SET reply = 'no ' || :address", address=NEW)
    assert world.ask("SELECT count(*) FROM former_addresses") > 0

    world.execute("UPDATE erasures SET looked_at = looked_at - interval '1 hour'")
    world.execute("UPDATE work SET due_at = now() WHERE actor = 'learners.erase'")
    world.comes_to_rest()

    assert in_tables(world) == {}
    assert world.ask("SELECT count(*) FROM former_addresses") == 0
    assert world.ask("SELECT count(*) FROM erasures") == 0
    assert world.ask("SELECT count(*) FROM work") == 0


@pytest.mark.parametrize("audience", [{"segments": ["later"]}, {"everyone": True}])
def test_s15_what_names_who_was_erased_is_gone_from_announcements_to_others(
    audience: dict[str, Any], world: World
) -> None:
    world.has_learners("A", **CALLED, email=OLD, version=1)
    world.has_learners("A", **CALLED, email=NEW, version=2)
    world.has_learners("B")
    first, last, username = CALLED["first_name"], CALLED["last_name"], CALLED["username"]
    texts = {
        "subject": f"{first} {last} leaves",
        "body": f"Ask **{last}, {first.upper()}** ({username}'s at {OLD}) or {NEW}! Dear {first}, b@acme.example helps",
    }
    world.announces("shared", **texts, audience=audience)
    world.announces("bad", subject="Hello", body=texts["body"] + " {{ nobody }}", audience=audience)
    world.comes_to_rest()
    assert in_tables(world).keys() >= {"inbox"} | ({"mailings"} if "everyone" in audience else set())

    world.say("learner.deleted", learner="A")
    world.comes_to_rest()
    world.execute("UPDATE erasures SET looked_at = looked_at - interval '1 hour'")
    world.execute("UPDATE work SET due_at = now() WHERE actor = 'learners.erase'")
    world.comes_to_rest()

    assert in_tables(world) == {}
    left = [entry.payload for entry in world.quarantine().values()] + world.list("SELECT body FROM mailings")
    assert len([text for text in left if "b@acme.example helps" in text]) == 2


def needles(first: str, last: str, *known: str) -> Needles:
    named = [[sha256(text.lower().encode()).digest() for text in texts] for texts in (known, (first, last))]
    return Needles.of([Erased(1, 1, "A", DAWN, DAWN, named[0], named[1], None)])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Will you come? You will. Ms Smith is not asked.", "Will you come? You will. Ms Smith is not asked."),
        ("Ask Will Smith: you will see, Will knows. Ms Smith, too.", "Ask NN: you will see, NN knows. Ms NN, too."),
        ("Smith, Will", "NN"),
        ("See will.smith-7's page, *W@X.example*, _w@x.example_", "See NN's page, *NN*, _NN_"),
        ("[Ask](mailto:w@x.example), **Will Smith said**", "[Ask](mailto:NN), **NN said**"),
        ('{{ username | default: "Will Smith" }}', '{{ username | default: "NN" }}'),
        ("Will! Smith!", "Will! Smith!"),
        ("Willy Smithson, will-smithy.7, ww@x.example", "Willy Smithson, will-smithy.7, ww@x.example"),
    ],
)
def test_s15_a_name_goes_and_an_ordinary_word_stays(text: str, left: str) -> None:
    assert needles("Will", "Smith", "will.smith-7", "w@x.example", "a").left_of(text) == [left]


def test_s15_a_merge_field_is_no_name() -> None:
    assert needles("First", "Name", "email").left_of("{{ email }} {{ first_name }} email") == [
        "{{ email }} {{ first_name }} NN"
    ]


def test_s15_names_of_several_words_go() -> None:
    found = needles("Anna Maria", "van der Berg", "anna m. berg")

    assert found.left_of("Anna  Maria", "a Anna Maria van der Berg, ANNA M. Berg b") == ["Anna  Maria", "a NN, NN b"]
