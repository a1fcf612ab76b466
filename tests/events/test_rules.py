"""In which order a batch is applied, and what is taken at once: R6, R31, S16."""

import random
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import msgspec
import pytest

from tasks.events import Awaited, Deferred, Event, Reason, StoredEvent, decode
from tasks.events.awaited import Kind, in_words
from tasks.events.rules import TURN, WAVE, affordable, in_turn, portions, waves, weights
from tasks.intake import portion

NOW = datetime(2026, 3, 1, tzinfo=UTC)
_numbers = count(1)


def event(type_: str, organisation: str = "acme", id_: str | None = None, **data: Any) -> Event:
    """One event, understood."""
    body = {
        "specversion": "1.0", "id": id_ or f"e{next(_numbers)}", "source": "p", "type": f"platform.{type_}",
        "time": NOW.isoformat(), "organisation": organisation, "data": data,
    }  # fmt: skip
    found = decode(msgspec.json.encode(body), now=NOW, skew=timedelta(hours=1))
    assert isinstance(found, Event), found
    return found


def status(learner: str, organisation: str = "acme", **other: Any) -> Event:
    return event("learner.status_changed", organisation, learner=learner, status="active", **other)


def start(learner: str, organisation: str = "acme") -> Event:
    return event("course.started", organisation, learner=learner, course="safety", cycle=1)


def joined(*learners: str, organisation: str = "acme") -> Event:
    return event("segment.joined", organisation, segment="s", learners=list(learners))


def announced(body: str = "Hello.", organisation: str = "acme") -> Event:
    return event(
        "announcement.requested", organisation, announcement="n", subject="News", body=body, audience={"everyone": True}
    )


def test_r06_what_is_waited_for_says_of_what_kind_it_is_and_whose() -> None:
    """Column by column: what becomes known is joined on them with what waits."""
    assert [
        Awaited.saved_organisation("acme"),
        Awaited.saved_learner(7, "A"),
        Awaited.saved_course(7, "c"),
        Awaited.saved_segment(7, "s"),
        Awaited.enrolment(7, 1, 2, 3),
        Awaited.status(7, 3),
    ] == [
        Awaited("organisation", 0, "acme", None, None, None),
        Awaited("learner", 7, "A", None, None, None),
        Awaited("course", 7, "c", None, None, None),
        Awaited("segment", 7, "s", None, None, None),
        Awaited("enrolment", 7, None, 1, 2, 3),
        Awaited("status", 7, None, None, None, 3),
    ]


def test_r06_s02_what_is_not_known_yet_is_named_and_waited_for() -> None:
    assert Deferred.unknown_learner(1, "A", ", nor was it ever") == Deferred(
        Reason.UNKNOWN_LEARNER, "the learner A is not known, nor was it ever", Awaited.saved_learner(1, "A")
    )
    assert Deferred.unknown_course(1, "safety") == Deferred(
        Reason.UNKNOWN_COURSE, "the course safety is not known", Awaited.saved_course(1, "safety")
    )
    assert Deferred.unknown_segment(1, "s") == Deferred(
        Reason.UNKNOWN_SEGMENT, "the segment s is not known", Awaited.saved_segment(1, "s")
    )


@pytest.mark.parametrize(
    ("kind", "id_", "said"),
    [
        (None, None, None),
        ("organisation", "acme: b", "the organisation acme: b"),
        ("enrolment", None, "its enrolment"),
        ("status", None, "an earlier change of status"),
        ("turn", None, "what its organisation sent before it"),
        ("learner", "A:b", "the learner A:b"),
        ("course", "safety", "the course safety"),
        ("segment", "s", "the segment s"),
    ],
)
def test_r06_what_an_event_waits_for_is_said_in_words(kind: Kind | None, id_: str | None, said: str | None) -> None:
    assert in_words(kind, id_) == said


def test_r06_events_about_different_learners_are_applied_together_by_type() -> None:
    a, b, c = status("A"), status("B"), status("C")
    x, y = start("X"), start("Y")

    assert waves([a, x, b, y, c]) == [[x, y], [a, b, c]]
    assert waves([]) == []


def test_r06_events_about_the_same_learner_are_applied_one_after_the_other() -> None:
    first, second, third, other = status("A"), start("A"), status("A"), status("B")

    assert waves([first, second, third, other]) == [[first, other], [second], [third]]


def test_r06_an_event_about_everybody_comes_after_all_before_it_and_before_all_after_it() -> None:
    before, twice, everybody, after, again = status("A"), start("A"), joined("A"), status("B"), joined("B")

    assert waves([before, twice, everybody, after, again]) == [[before], [twice], [everybody], [after], [again]]


def test_r06_organisations_do_not_wait_for_each_other() -> None:
    ours, theirs = joined("A"), joined("A", organisation="globex")
    later, other = status("A"), status("A", "globex")

    assert waves([theirs, ours, later, other]) == [[ours], [theirs], [later], [other]]


def test_r31_an_event_costs_its_rows_what_it_lists_and_a_wave_of_its_own() -> None:
    described: dict[str, Any] = {"title": "S", "cost": 1, "on_hold": False, "method": "segments"}
    linked = event("course.saved", course="safety", segments=["a", "b"], **described)

    assert weights([status("A"), status("B"), status("A")]) == [1, 1, 1 + WAVE]
    assert weights([status("A"), start("B"), status("C")]) == [1, 1 + WAVE, 1]
    assert weights([joined("A", "B", "C")]) == [4]
    assert weights([linked]) == [3]
    assert weights([event("enrolment.requested", request="r", course="safety", segment="a")]) == [1]
    assert weights([announced("a" * 1001)]) == [201]
    assert weights([status("A"), announced("a" * 10)]) == [1, 1 + WAVE + 2]


def test_r31_as_many_are_taken_as_cost_so_much_together() -> None:
    events = [status("A"), status("B"), joined("A", "B"), status("C")]
    third = 1 + 1 + 3 + WAVE

    assert [affordable(events, most) for most in (0, 1, 2, third - 1, third)] == [0, 1, 2, 2, 3]
    assert affordable([], 5) == 0


def test_r31_what_is_more_than_a_turn_waits_and_all_of_who_is_behind_does() -> None:
    first, second, more = joined(*(f"L{n}" for n in range(TURN - 1))), status("A"), status("B")
    theirs, behind = status("A", "globex"), status("A", "late")

    at_once, later = in_turn([first, theirs, behind, second, more], {"late", "nobody"})

    assert at_once == [first, theirs]
    assert later == {"acme": [second, more], "late": [behind]}


def test_s16_of_events_that_an_organisation_calls_the_same_the_first_is_meant() -> None:
    first, again, theirs = status("A", id_="e"), status("B", id_="e"), status("A", "globex", id_="e")

    assert in_turn([first, again, theirs], ()) == ([first, theirs], {})
    assert portions([first, again, theirs], 10) == [[first, theirs]]


def test_r31_what_small_organisations_sent_comes_first_and_together() -> None:
    large = [status(f"L{n}", "large") for n in range(5)]
    one, two = [status("A", "one")], [status(f"B{n}", "two") for n in range(2)]

    assert portions([*large, *two, *one], 4) == [[*one, *two], large[:4], large[4:]]
    assert portions([*large, *two, *one], 8) == [[*one, *two, *large]]
    assert portions([*two, *one], 3) == [[*one, *two]], "as much as there is room for"
    assert portions([], 4) == []


def test_r31_one_event_is_a_portion_however_much_it_weighs() -> None:
    heavy, light = joined("A", "B", "C"), status("A")

    assert portions([light, heavy], 2) == [[light], [heavy]]


def test_r31_who_has_messages_to_judge_shares_no_portion() -> None:
    small, said, large = [status("A", "small")], announced(), [status(f"L{n}", "large") for n in range(10)]

    found = portions([said, *large, *small], 1000)

    assert found == [[*small], [said], large]
    assert portions([*small, said], 1000) == [[*small], [said]]
    short, one = announced("Hi"), status("A", "small")
    assert portions([short, one], 1000) == [[short], [one]], "not even with what weighs as little as can be"


def test_r31_of_what_waited_one_event_that_costs_too_much_is_applied_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.intake.waiting.FREED_ROWS", 3)
    large = [joined("A", "B", "C", "D"), joined("A", "B", "C", "D")]
    stored = [StoredEvent(n, "learner", one.body) for n, one in enumerate(large)]
    unreadable = StoredEvent(9, "learner", b"{")

    assert [entry for entry, _ in portion(stored)] == stored[:1]
    assert [entry for entry, _ in portion([unreadable, *stored])] == stored[:1]
    assert portion([unreadable]) == portion([]) == []


def test_r06_waves_keep_the_order_in_which_events_bear_on_each_other() -> None:
    chance = random.Random(7)  # noqa: S311 - the same each time
    kinds = [status, start, lambda learner, organisation: joined(learner, organisation=organisation)]
    for _ in range(50):
        batch = [chance.choice(kinds)(chance.choice("AB"), chance.choice(["acme", "globex"])) for _ in range(12)]
        order = [event for wave in waves(batch) for event in wave]
        assert sorted(map(id, order)) == sorted(map(id, batch))
        for at, one in enumerate(batch):
            for other in batch[at + 1 :]:
                apart = {getattr(one.data, "learner", None), getattr(other.data, "learner", None)}
                if one.organisation == other.organisation and (len(apart) == 1 or None in apart):
                    assert order.index(one) < order.index(other)
        for wave in waves(batch):
            assert len({(event.organisation, event.type) for event in wave}) == 1
