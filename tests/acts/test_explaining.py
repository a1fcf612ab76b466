"""Why something is as it is, asked of the stories of the rules: the answer is the right cause, and names its rule."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from config.errors import NotFound
from tasks.acts import explaining as acts
from tasks.acts.acting import ACTS
from tasks.explaining import WHY, Explanation
from tests.acts.doing import do
from tests.world import World


def why(world: World, course: str | None = None, announcement: str | None = None) -> Explanation:
    found = do(world, acts.learner, acts.LearnerExplained("A", course, announcement))
    assert isinstance(found, Explanation)
    return found


def steps(found: Explanation, *of: str) -> list[str]:
    """The codes of the steps, in order; of these alone, if any are named."""
    return [step.what for step in found.steps if not of or step.what in of]


@pytest.fixture
def world(world: World) -> World:
    world.has_learners("A", "B")
    return world


def inactive_at_launch(world: World) -> None:
    world.becomes("inactive", "A")
    world.announces()


def inactive_when_sent(world: World) -> None:
    world.announces()
    world.becomes("inactive", "A", at=datetime.now(UTC) + timedelta(minutes=4))  # no clock is that far ahead of ours


def unsubscribed(world: World) -> None:
    world.execute("INSERT INTO unsubscribed (organisation, learner) VALUES (1, 1)")
    world.announces()


def suppressed(world: World) -> None:
    world.execute(
        "INSERT INTO suppressions (organisation, address, reason) VALUES (1, mail_key('a@acme.example'), 'hard bounce')"
    )
    world.announces()


def without_address(world: World) -> None:
    world.has_learners("A", email=None)
    world.announces()


def not_selected(world: World) -> None:
    world.announces(audience={"learners": ["B"]})


def sent(world: World) -> None:
    world.announces()


def cancelled(world: World) -> None:
    world.announces(send_at=(datetime.now(UTC) + timedelta(days=1)).isoformat())


@pytest.mark.parametrize(
    ("story", "because", "rule"),
    [
        (inactive_at_launch, "inactive at launch", "R17"),
        (inactive_when_sent, "inactive when sent", "R15"),
        (unsubscribed, "no mail: unsubscribed", "R15"),
        (suppressed, "no mail: suppressed", "R21"),
        (without_address, "no mail: no address", "R22"),
        (not_selected, "not selected", "R13"),
        (sent, "mail sent", "R18"),
        (cancelled, "announcement not launched", "R16"),
    ],
)
def test_r15_why_a_learner_got_an_announcement_or_not(
    story: Callable[[World], None], because: str, rule: str, world: World
) -> None:
    story(world)
    world.settle()

    found = why(world, announcement="news")

    assert (found.because, found.answer) == (because, WHY[because].words)
    assert rule in found.rules
    assert ("announcement launched" in steps(found)) == (because != "announcement not launched")


def test_r07_who_is_enrolled_silently_has_no_access_and_the_reason_is_given(world: World) -> None:
    world.becomes("inactive", "A")
    world.has_course("X", "everyone")
    world.settle()

    found = why(world, "X")

    assert (found.because, found.rules) == ("became inactive", ["R1", "R3", "R24"])
    assert steps(found) == ["became inactive", "enrolled silently by everyone", "not told: inactive"]


def test_r04_who_is_active_again_has_access_and_was_not_told_then(world: World) -> None:
    world.becomes("inactive", "A")
    world.asks_to_enrol("X", "A", request="r1")
    world.has_course("X")
    world.settle()
    world.becomes("active", "A")
    world.settle()

    found = why(world, "X")

    assert found.because == "has access"
    assert steps(found)[-3:] == ["not told: inactive", "became active", "access opened"]
    assert [step.subject for step in found.steps if step.what == "enrolled silently by request"] == ["r1"]


def test_r09_the_segment_and_the_notice_are_named(world: World) -> None:
    world.has_segment("nurses", "A")
    world.has_course("X", "segments", segments=["nurses"])
    world.comes_to_rest()

    found = why(world, "X")

    assert (found.because, steps(found)) == ("has access", ["enrolled by segments", "mail sent"])
    assert found.steps[-1].course == "X"


@pytest.mark.parametrize(
    ("end", "because"),
    [
        ("withdraw", "withdrawn by name"),
        ("rule", "withdrawn by rule"),
        ("hold", "on hold"),
        ("never", "never enrolled"),
    ],
)
def test_r10_why_there_is_no_access_any_more(end: str, because: str, world: World) -> None:
    world.has_course("X", "manual" if end == "never" else "everyone")
    world.settle()
    if end == "withdraw":
        world.withdraws("X", "A")
    elif end != "never":
        world.has_course("X", "manual" if end == "rule" else "everyone", on_hold=end == "hold")
    world.settle()

    found = why(world, "X")

    assert (found.because, bool(found.rules)) == (because, True)


def test_r27_a_start_while_inactive_is_found_though_it_was_not_taken(world: World) -> None:
    world.has_course("X", "everyone")
    world.becomes("inactive", "A")
    start = world.starts("A", "X")
    world.starts("B", "X")

    found = why(world, "X")

    (held,) = [step for step in found.steps if step.what == "start quarantined"]
    assert (str(held.subject) in start.decode(), held.detail, held.rules) == (True, "learner inactive", ["R27"])


def test_r27_a_start_counts_however_late_it_came(world: World) -> None:
    world.has_course("X", "everyone")
    world.settle()
    at = world.clock
    world.becomes("inactive", "A", at=at + timedelta(minutes=1))
    world.starts("A", "X", at=at)

    found = why(world, "X")

    told = steps(found, "started", "charged a credit", "became inactive", "start quarantined")
    assert (found.because, told) == ("became inactive", ["started", "charged a credit", "became inactive"])


def test_r25_why_an_entry_was_charged(world: World) -> None:
    world.has_organisation(pool=1)
    world.has_course("X", "everyone")
    world.starts("B", "X")
    start = world.starts("A", "X")
    at = world.clock
    world.starts("A", "X")
    world.becomes("inactive", "A", at=at - timedelta(milliseconds=1))
    (entry,) = [entry.id for entry in world.ledger() if entry.learner == "A"]

    found = do(world, acts.entry, acts.EntryExplained(int(entry)))

    assert (found.because, found.rules) == ("charged a credit", ["R25", "R26"])
    told = steps(found, "started", "charged a credit", "cost nothing", "overdrawn", "flagged learner inactive")
    assert told == ["started", "charged a credit", "started", "cost nothing", "overdrawn", "flagged learner inactive"]
    (charged,) = [step for step in found.steps if step.what == "charged a credit"]
    assert (charged.subject, charged.detail in start.decode()) == (entry, True)


def test_what_is_not_there_is_said_to_be_not_there(world: World) -> None:
    for asked in (
        acts.LearnerExplained("nobody"),
        acts.LearnerExplained("A", "nothing"),
        acts.LearnerExplained("A", announcement="nothing"),
    ):
        with pytest.raises(NotFound):
            do(world, acts.learner, asked)
    with pytest.raises(NotFound):
        do(world, acts.entry, acts.EntryExplained(1))
    assert ACTS["learners.explain"].path == "learners/{learner}/explain"


def test_every_word_is_said_of_something_and_rules_are_numbered() -> None:
    assert all(
        why.words and all(rule[0] in "RS" and rule[1:].isdecimal() for rule in why.rules) for why in WHY.values()
    )
