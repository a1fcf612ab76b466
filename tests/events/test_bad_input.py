"""What is wrong with an event is said, and stops nothing behind it: R6, R27, R31, R32, S2, S16."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from structlog.testing import capture_logs

from config.database import transaction
from config.engine import Patience, make_engine
from config.settings import Settings
from tasks import intake
from tasks.events.quarantine import quarantined
from tests.world import World, id_of

TIME = "2026-01-10T09:00:00Z"


def document(**fields: object) -> dict[str, Any]:
    """An event that is well formed but for what is said otherwise."""
    return {
        "specversion": "1.0",
        "id": "bad",
        "source": "urn:platform",
        "type": "platform.course.started",
        "time": TIME,
        "organisation": "acme",
        "data": {"learner": "A", "course": "safety"},
        **fields,
    }


def body(**fields: object) -> bytes:
    """The same, as it travels."""
    return json.dumps(document(**fields)).encode()


def data(type_: str, **fields: object) -> bytes:
    """An event of this type, with this data."""
    return body(type=f"platform.{type_}", data=fields)


#: Text of four bytes a character that compresses badly: the worst case for an index.
LONG = "".join(chr(0x20000 + n * 7919 % 40000) for n in range(1200))

COURSE = {"course": "c", "title": "C"}
ORGANISATION = {"name": "Acme", "licence": "seats"}

MALFORMED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not JSON"),
    "no JSON": (b"{not json", "not JSON"),
    "half an event": (body()[:-9], "not JSON"),
    "a list": (b"[]", "Expected `object`, got `array`"),
    "a number": (b"7", "Expected `object`, got `int`"),
    "no UTF-8": (b'{"id": "\xff"}', "not JSON"),
    "a lone surrogate": (body(id="bad").replace(b'"A"', b'"\\ud800"'), "not JSON"),
    "an encoded surrogate": (body().replace(b'"A"', b'"\xed\xa0\x80"'), "not JSON"),
    "NUL": (body().replace(b'"A"', b'"A\\u0000"'), "NUL"),
    "a raw NUL": (body().replace(b'"A"', b'"A\x00"'), "not JSON"),
    "deep nesting": (body().replace(b'"A"', b"[" * 200_000 + b"]" * 200_000), "not JSON"),
    "deep nesting in a field nobody asked for": (
        body().replace(b'"id"', b'"extra": ' + b"[" * 200_000 + b"]" * 200_000 + b', "id"'),
        "not JSON",
    ),
    "no data": (json.dumps({k: v for k, v in document().items() if k != "data"}).encode(), "field `data`"),
    "no id": (body(id=""), "length >= 1"),
    "no organisation": (body(organisation=None), "$.organisation"),
    "an id that is too long": (body(id="x" * 201), "length <= 200"),
    "a source that is too long": (body(source=LONG[:401]), "$.source"),
    "an organisation that is too long": (body(organisation=LONG[:1000]), "$.organisation"),
    "another specversion": (body(specversion="0.3"), "specversion"),
    "an unknown type": (body(type="platform.course.exploded"), "the type platform.course.exploded is not known"),
    "the future": (body(time="2999-01-01T00:00:00Z"), "in the future"),
    "the end of time": (body(time="9999-12-31T23:59:59-14:00"), "in the future"),
    "the beginning of time": (body(time="0001-01-01T00:00:00+14:00"), "before 1970"),
    "a time without an offset": (body(time="2026-01-10T09:00:00"), "timezone"),
    "no time": (body(time="yesterday"), "$.time"),
    "a learner that is a number": (body(data={"learner": 7, "course": "c"}), "Expected `str`, got `int`"),
    "a learner that is too long": (body(data={"learner": "x" * 201, "course": "c"}), "length <= 200"),
    "data that is a list": (body(data=[]), "Expected `object`, got `array`"),
    "a cycle of nought": (body(data={"learner": "A", "course": "c", "cycle": 0}), "int` >= 1"),
    "a huge cycle": (body(data={"learner": "A", "course": "c", "cycle": 10**30}), "$.cycle"),
    "a number without an end": (body().replace(b'"A"', b'"A", "cycle": ' + b"9" * 100_000), "$.cycle"),
    "a score out of range": (
        body(type="platform.course.completed").replace(b'"A"', b'"A", "score": 1e999'),
        "Number out of range",
    ),
    "a score that is no number": (body(type="platform.course.completed").replace(b'"A"', b'"A", "score": NaN'), "JSON"),
    "a huge version": (data("learner.status_changed", learner="A", status="active", version=10**20), "$.version"),
    "an unknown status": (data("learner.status_changed", learner="A", status="Suspended"), "Suspended"),
    "a negative cost": (data("course.saved", **COURSE, cost=-1), "int` >= 0"),
    "a huge cost": (data("course.saved", **COURSE, cost=2**63), "$.cost"),
    "an unknown method": (data("course.saved", **COURSE, method="somebody"), "somebody"),
    "a huge pool": (data("organisation.saved", **ORGANISATION, pool=2**63), "$.pool"),
    "a licence that ends never": (data("organisation.saved", **ORGANISATION, licence_ends="never"), "'never'"),
    "a licence before time": (
        data("organisation.saved", **ORGANISATION, licence_starts="0001-01-01T00:00:00+14:00"),
        "neither a date nor a time",
    ),
    "a request for nobody in particular": (
        data("enrolment.requested", request="r", course="c"),
        "either `learners` with `tab`, or `segment`, is needed",
    ),
    "a request without a tab": (data("enrolment.requested", request="r", course="c", learners=["A"]), "needs a `tab`"),
    "a request for learners and a segment": (
        data("enrolment.requested", request="r", course="c", learners=["A"], tab="all", segment="s"),
        "either `learners` with `tab`, or `segment`, is needed",
    ),
    "learners that are null": (
        data("enrolment.requested", request="r", course="c", learners=None, tab="all"),
        "$.learners",
    ),
    "an audience of two kinds": (
        data(
            "announcement.requested",
            announcement="m",
            subject="s",
            body="b",
            audience={"everyone": True, "learners": []},
        ),
        "exactly one of everyone, segments and learners",
    ),
    "an announcement at no time": (
        data(
            "announcement.requested",
            announcement="m",
            subject="s",
            body="b",
            audience={"everyone": True},
            send_at="tomorrow",
        ),
        "`send_at`: 'tomorrow' is not a time like 2026-12-01T09:00",
    ),
    "an announcement after the end of time": (
        data(
            "announcement.requested",
            announcement="m",
            subject="s",
            body="b",
            audience={"everyone": True},
            send_at="9999-12-31T23:59:59-14:00",
        ),
        "`send_at`",
    ),
}


def test_r32_malformed_events_are_quarantined_with_the_reason_and_stop_nothing_behind_them(world: World) -> None:
    for case, (broken, why) in MALFORMED.items():
        behind = world.event("segment.saved", {"segment": case, "name": case})

        taken = world.send(broken, behind)

        assert (taken.malformed, taken.new) == (1, 1), case
        assert world.list("SELECT id FROM segments WHERE name = :case", case=case) == [case]
        [(state, reason, detail)] = world.rows(
            "SELECT state, reason, detail FROM inbox WHERE body IS NOT NULL ORDER BY seq DESC LIMIT 1"
        )
        assert (state, reason) == ("quarantined", "malformed"), case
        assert why in detail, case
    world.settle()
    assert [event["reason"] for event in world.out("event.quarantined")] == ["malformed"] * len(MALFORMED)


def test_r32_a_malformed_event_sent_again_is_the_same_entry(world: World) -> None:
    for _ in range(3):
        world.send(b"{not json", b"{not json")
    world.settle()

    assert len(world.quarantine()) == 1
    assert len(world.out("event.quarantined")) == 1


def test_s16_a_malformed_event_does_not_use_up_its_id(world: World) -> None:
    broken = world.event("learner.saved", {"learner": 7}, id_="e-first")
    mended = world.event("learner.saved", {"learner": "A"}, id_="e-first")

    world.send(broken)
    taken = world.send(mended)

    assert taken.new == 1
    assert world.enrolments("A") == {}


def test_r32_what_only_looks_like_a_nul_is_taken(world: World) -> None:
    world.has_course("c", title=r"Escapes: \u0000 explained")

    assert world.list("SELECT title FROM courses") == [r"Escapes: \u0000 explained"]


def test_r06_a_licence_until_the_end_of_time_is_taken(world: World) -> None:
    world.has_organisation("seats", licence_ends="9999-12-31")
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.starts("A", "safety")

    assert world.quarantine() == {}
    assert [entry.review for entry in world.ledger()] == [None]


def test_r32_what_takes_down_whoever_tries_it_is_set_aside_without_being_tried(world: World) -> None:
    engine, settings = world.runtime.engine, world.runtime.settings
    ahead = datetime.now(UTC) + timedelta(seconds=settings.rollcall_skew_seconds / 2)
    event = world.event("learner.saved", world.learner("A"), at=ahead)
    unread = world.event("learner.saved", world.learner("B"))

    with capture_logs() as lines:
        intake.give_up(engine, settings, event)
        intake.give_up(engine, settings, b"{no json")
        intake.give_up(engine, settings, unread, readable=False)

    assert [(line["event"], line["type"]) for line in lines if line["log_level"] == "error"] == [
        ("events.given_up", type_) for type_ in ("platform.learner.saved", None, None)
    ]
    assert world.rows("SELECT id, reason, left(detail, 8), body FROM inbox WHERE body IS NOT NULL ORDER BY seq") == [
        (id_of(event), "internal error", "whoever ", event),
        ("", "malformed", "not JSON", b"{no json"),
        ("", "malformed", "whoever ", unread),
    ]
    assert world.list("SELECT id FROM learners") == []
    assert world.send(event).repeated == 1
    assert world.send(unread).new == 1


def test_r06_what_happens_a_little_ahead_of_our_clock_is_taken(world: World) -> None:
    skew = timedelta(seconds=world.runtime.settings.rollcall_skew_seconds)
    now = datetime.now(UTC)

    near = world.send(world.event("learner.saved", world.learner("A"), at=now + skew / 2))
    far = world.send(world.event("learner.saved", world.learner("B"), at=now + 2 * skew))

    assert (near.new, near.malformed, far.malformed) == (1, 0, 1)


def test_r06_the_longest_names_are_taken(world: World) -> None:
    long = LONG[:200]
    saved = body(
        id=long, source=LONG[:400], type="platform.learner.saved", data={"learner": long, "username": LONG[:1000]}
    )
    start = world.event("course.started", {"learner": long, "course": long}, id_=LONG[1:201])

    world.send(saved, start)

    assert world.quarantine()[id_of(start)].reason == "unknown course"
    assert len(world.quarantine()) == 1


UNKNOWN: dict[str, tuple[str, dict[str, object], str]] = {
    "a start by nobody": ("course.started", {"learner": "nobody", "course": "safety"}, "unknown learner"),
    "a start of nothing": ("course.started", {"learner": "A", "course": "nothing"}, "unknown course"),
    "a start without enrolment": ("course.started", {"learner": "A", "course": "safety"}, "not enrolled"),
    "a completion by nobody": ("course.completed", {"learner": "nobody", "course": "safety"}, "unknown learner"),
    "a completion without enrolment": ("course.completed", {"learner": "A", "course": "safety"}, "not enrolled"),
    "a status of nobody": ("learner.status_changed", {"learner": "nobody", "status": "active"}, "unknown learner"),
    "the end of nobody": ("learner.deleted", {"learner": "nobody"}, "unknown learner"),
    "a request for nothing": (
        "enrolment.requested",
        {"request": "r", "course": "nothing", "learners": ["A"], "tab": "all"},
        "unknown course",
    ),
    "a request for an unknown segment": (
        "enrolment.requested",
        {"request": "r", "course": "safety", "segment": "nobody"},
        "unknown segment",
    ),
    "a withdrawal from nothing": ("enrolment.withdrawn", {"course": "nothing", "learners": ["A"]}, "unknown course"),
    "an announcement to an unknown segment": (
        "announcement.requested",
        {"announcement": "m", "subject": "s", "body": "b", "audience": {"segments": ["nobody"]}},
        "unknown segment",
    ),
}


def test_r06_events_about_something_unknown_wait_and_stop_nothing_behind_them(world: World) -> None:
    for number, (case, (type_, about, reason)) in enumerate(UNKNOWN.items()):
        world.organisation = f"acme {number}"
        world.has_organisation()
        world.has_learners("A")
        world.has_course("safety")
        event = world.event(type_, about)

        world.send(event, world.event("course.saved", {"course": "behind", "title": "Behind", "method": "everyone"}))

        held = world.quarantine()[id_of(event)]
        assert (held.state, held.reason) == ("waiting", reason), case
        assert held.detail, case
        assert world.access("A") == {"behind"}, case
    world.settle()
    assert world.out("event.quarantined") == []


def test_r06_an_event_of_an_unknown_organisation_waits_for_it(world: World) -> None:
    saved = world.event("learner.saved", {"learner": "G"}, organisation="globex")
    world.send(saved)

    held = world.quarantine()[id_of(saved)]

    assert (held.state, held.reason, held.organisation) == ("waiting", "unknown organisation", "globex")


def test_r06_each_event_of_an_unknown_organisation_waits_for_it_and_those_beside_them_are_taken(world: World) -> None:
    theirs = [
        world.event("learner.saved", {"learner": "G"}, organisation="aardvark"),
        world.event("segment.saved", {"segment": "s", "name": "S"}, organisation="aardvark"),
    ]

    taken = world.send(*theirs, world.event("learner.saved", world.learner("A")))

    assert (taken.new, taken.deferred) == (3, 2)
    assert world.quarantine().keys() == {id_of(body) for body in theirs}
    assert world.list("SELECT id FROM learners WHERE standing = 'active'") == ["A"]


def test_r31_another_organisations_learners_and_courses_are_unknown(world: World) -> None:
    world.send(world.event("organisation.saved", {"name": "Globex", "licence": "seats"}, organisation="globex"))
    world.has_learners("A")
    world.has_course("safety", "everyone")

    start = world.event("course.started", {"learner": "A", "course": "safety"}, organisation="globex")
    request = world.event(
        "enrolment.requested",
        {"request": "r", "course": "safety", "learners": ["A"], "tab": "all"},
        organisation="globex",
    )
    world.send(start, request)

    held = world.quarantine()
    assert held[id_of(start)].reason == "unknown learner"
    assert held[id_of(request)].reason == "unknown course"
    assert world.ledger() == world.ledger("globex") == []


def test_r31_of_two_events_of_the_same_id_each_is_held_under_its_own_name(world: World) -> None:
    first = world.event("course.started", {"learner": "A", "course": "safety"}, id_="same")
    second = world.event("learner.saved", {"learner": "G"}, id_="same", organisation="globex")

    taken = world.send(first, second, first, second)

    assert (taken.new, taken.repeated, taken.deferred) == (2, 2, 2)
    with transaction(world.runtime.engine) as connection:
        held = list(quarantined(connection, None))
    assert {entry.organisation: (entry.id, entry.type, entry.payload) for entry in held} == {
        "acme": ("same", "platform.course.started", first.decode()),
        "globex": ("same", "platform.learner.saved", second.decode()),
    }


def test_r31_an_id_that_another_organisation_uses_in_the_same_batch_takes_nothing_from_it(world: World) -> None:
    theirs = world.event("learner.saved", {"learner": "y"}, organisation="evil", id_="shared")
    ours = world.event("learner.saved", world.learner("y"), organisation="acme", id_="shared")

    taken = world.send(theirs, ours)

    assert (taken.new, taken.repeated) == (2, 0)
    assert world.send(theirs, ours).repeated == 2
    assert world.list("SELECT organisation FROM arrivals WHERE id = 'shared' ORDER BY 1") == ["acme", "evil"]
    assert world.list("SELECT id FROM learners WHERE standing = 'active'") == ["y"]


def test_r31_what_waits_is_freed_with_what_another_organisation_calls_the_same(world: World) -> None:
    world.send(world.event("organisation.saved", {"name": "Globex", "licence": "credits"}, organisation="globex"))
    both = ["acme", "globex"]
    news = {"announcement": "news", "subject": "Hi", "body": "Hi", "audience": {"segments": ["s"]}}
    for each in both:
        world.send(world.event("announcement.requested", news, organisation=each, id_="same"))
    assert world.list("SELECT organisation FROM inbox WHERE state = 'waiting' ORDER BY 1") == both

    world.send(*(world.event("segment.saved", {"segment": "s", "name": "S"}, organisation=each) for each in both))

    assert world.list("SELECT organisation FROM inbox WHERE state = 'waiting'") == []
    assert world.ask("SELECT count(*) FROM mailings WHERE id = 'news'") == 2


def test_r32_an_event_the_database_refuses_is_set_aside_and_the_others_of_its_batch_are_taken(world: World) -> None:
    world.execute("ALTER TABLE courses ADD CHECK (title <> 'poison')")
    poison = world.event("course.saved", {"course": "c", "title": "poison"})

    taken = world.send(
        world.event("learner.saved", world.learner("A")),
        poison,
        world.event("course.saved", {"course": "safety", "title": "Safety", "method": "everyone"}),
    )
    world.settle()

    assert taken.new == 3
    assert world.access("A") == {"safety"}
    held = world.quarantine()[id_of(poison)]
    assert (held.state, held.reason) == ("quarantined", "internal error")
    assert [event["event"] for event in world.out("event.quarantined")] == [id_of(poison)]


def test_r33_where_the_database_is_full_nothing_is_wrong_with_the_event(world: World) -> None:
    world.execute(
        "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
    )
    world.execute("CREATE TRIGGER fill BEFORE INSERT ON learners EXECUTE FUNCTION fill()")
    event = world.event("learner.saved", world.learner("A"))

    with pytest.raises(OperationalError):
        world.send(event)
    world.execute("DROP TRIGGER fill ON learners")

    assert world.quarantine() == {}
    assert world.send(event).new == 1


def test_r33_where_every_connection_is_in_use_nothing_is_wrong_with_the_event(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(
        world.runtime.endpoints.database_url, role="test", pool=1, more=0, patience=Patience(0.1, 5, 60, None)
    )
    in_use = engine.connect()
    monkeypatch.setattr("tasks.intake.batch.say_why", lambda *_: in_use.close())  # it is free for what follows

    event = world.event("learner.saved", world.learner("A"))
    with pytest.raises(PoolTimeout):
        intake.process_batch(engine, world.runtime.settings, [event], at_once=True)

    in_use.close()
    engine.dispose()
    assert world.quarantine() == {}


def test_r05_the_log_of_what_cannot_be_applied_says_nothing_of_anybody(world: World) -> None:
    world.execute("ALTER TABLE learners ADD CHECK (username <> 'poison')")

    with capture_logs() as lines:
        world.has_learners("A", username="poison", first_name="Ada", email="ada@acme.example")

    assert [lines[0][said] for said in ("event", "events", "types")] == [
        "events.not_applied", 1, ["platform.learner.saved"],
    ]  # fmt: skip
    assert "check constraint" in lines[0]["says"]
    assert not any(said in json.dumps(lines) for said in ("Ada", "ada@", "poison"))


def test_r32_what_was_waiting_and_cannot_be_applied_harms_not_what_it_waited_for(world: World) -> None:
    world.has_learners("A", "B")
    world.execute("ALTER TABLE fanouts ADD CHECK (request <> 'poison')")
    poison = world.asks_to_enrol("safety", "A", request="poison")
    good = world.asks_to_enrol("safety", "B")

    world.has_course("safety")

    assert set(world.quarantine()) == {id_of(poison)}
    assert world.quarantine()[id_of(poison)].reason == "internal error"
    assert world.access("B") == {"safety"}
    assert id_of(good) not in world.quarantine()


class TestWithoutPatience:
    """Where nothing may wait."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"rollcall_waiting_seconds": 0.0})

    def test_r06_what_waited_its_time_is_quarantined_with_its_reason(self, world: World) -> None:
        sent = {}
        for number, (type_, about, reason) in enumerate(UNKNOWN.values()):
            world.organisation = f"acme {number}"
            world.has_organisation()
            world.has_learners("A")
            world.has_course("safety")
            event = world.event(type_, about)
            world.send(event)
            sent[id_of(event)] = (f"platform.{type_}", reason)
        world.settle()

        held = {id_: (one.state, one.type, one.reason) for id_, one in world.quarantine().items()}
        assert held == {id_: ("quarantined", *what) for id_, what in sent.items()}
        told = {event["event"]: (event["type"], event["reason"]) for event in world.out("event.quarantined")}
        assert told == sent

    def test_r06_what_was_quarantined_is_still_taken_by_itself(self, world: World) -> None:
        world.has_course("safety", "everyone", cost=2)
        start = world.starts("A", "safety")
        world.settle()
        assert world.quarantine()[id_of(start)].state == "quarantined"

        world.has_learners("A")

        assert world.quarantine() == {}
        assert [entry.amount for entry in world.ledger()] == [2]
