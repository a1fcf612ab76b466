"""The same facts, the same rows and the same ledger, in whatever order they arrive: R6, R10, R27, R28, S15.

To look at other sets than the suite's own, and at larger ones: `make chaos`.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import assume, given

from config.embedded import Embedded
from config.settings import Settings
from config.streams import make_redis
from tasks import learners
from tests.conftest import runtime_over
from tests.databases import Databases, database_named
from tests.mailserver import MailServer
from tests.model.arrivals import Arrivals, Fact, beginnings, differences, saved, sets
from tests.model.present import histories
from tests.world import DAWN, World

STEPS = sorted(Path(__file__).with_name("arrival_order").glob("*.jsonl"))


@pytest.fixture(scope="module")
def told(
    servers: Embedded, _databases: Databases, _mail_server: MailServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Stories told in several orders, an organisation each; the tests only look at what they end in."""
    settings = Settings(rollcall_home=tmp_path_factory.mktemp("told"))
    with (
        _databases.fresh() as name,
        runtime_over(settings, database_named(servers, name), str(servers.redis_url), _mail_server) as runtime,
        make_redis(runtime.endpoints.redis_url) as client,
    ):
        client.flushdb()
        world = World(runtime, client, _mail_server)
        for step in STEPS:
            for body in step.read_bytes().splitlines():
                world.send(body)
            world.settle()
        yield world


def row(world: World, organisation: str) -> tuple[str | None, str | None, str | None]:
    """Since when and until when the enrolment stood, and when it was started: the hours and minutes."""
    enrolments = world.enrolments("a", organisation)
    assert set(enrolments) == {"c"}
    one = enrolments["c"]
    return _clock(one.enrolled_at), _clock(one.withdrawn_at), _clock(one.started_at)


def _clock(time: datetime | None) -> str | None:
    return None if time is None else f"{time:%H:%M}"


def entries(world: World, organisation: str) -> list[tuple[str | None, int, str | None]]:
    """Who was charged how much, and the flag."""
    return [(entry.learner, entry.amount, entry.review) for entry in world.ledger(organisation)]


def test_r10_a_withdrawal_holds_from_the_earliest_whichever_is_heard_last(told: World) -> None:
    for organisation in ("r1-older-last", "r1-older-first", "r1-flag", "r1-flag-other"):
        assert row(told, organisation) == ("03:00", "06:00", None), organisation


def test_r28_a_start_that_an_older_withdrawal_contradicts_stays_charged_and_is_flagged(told: World) -> None:
    assert entries(told, "r1-older-last") == entries(told, "r1-older-first") == []
    assert entries(told, "r1-flag") == entries(told, "r1-flag-other") == [("a", 3, "not enrolled")]


def test_r10_a_rule_holds_from_the_latest_of_its_causes_whichever_is_heard_last(told: World) -> None:
    for organisation in ("r2-join-last", "r2-link-last", "r2b-join-last", "r2b-link-last"):
        assert row(told, organisation) == ("12:00", None, None), organisation
        assert entries(told, organisation) == [], organisation


def test_r10_a_withdrawal_by_name_from_before_a_rule_stands_whichever_is_heard_last(told: World) -> None:
    assert told.enrolments("a", "r3-withdrawn-last") == told.enrolments("a", "r3-withdrawn-first") == {}
    assert entries(told, "r3-withdrawn-last") == entries(told, "r3-withdrawn-first") == []


def test_s15_a_start_from_before_the_deletion_counts_without_a_name_however_late(told: World) -> None:
    assert entries(told, "r4-start-late") == entries(told, "r4-start-in-time") == [(None, 3, None)]
    assert "r4-start" not in told.quarantine()


def test_r28_what_contradicts_a_consumption_flags_it_whichever_is_heard_last(told: World) -> None:
    for organisation in ("r5-older-leave-last", "r5-older-leave-first"):
        assert row(told, organisation) == ("03:00", "06:00", None), organisation
        assert entries(told, organisation) == [("a", 3, "not enrolled")], organisation


def test_r10_a_withdrawal_of_what_a_rule_withdrew_is_told_once(told: World) -> None:
    changes = told.rows(
        """
        SELECT o.data ->> 'cause' FROM outbox o JOIN organisations USING (organisation)
        WHERE organisations.id = 'r8-said-twice' AND type = 'rollcall.enrolment.changed'
          AND CAST(data -> 'withdrawn' AS text) LIKE '%"a"%'
        """
    )
    assert changes == [("rule",)]


def test_r09_sources_and_segments_name_the_same(told: World) -> None:
    with told.about("r9-segment") as (connection, organisation):
        profile = learners.profile(connection, organisation.organisation, "a")
        assert profile is not None
        segments = learners.segments_of(connection, organisation.organisation, profile.learner)
    assert [f"segment:{id_}" for id_ in segments] == told.enrolments("a", "r9-segment")["c"].sources


@pytest.fixture
def arrivals(world: World) -> Iterator[Arrivals]:
    """One organisation, to which things happen."""
    with closing(Arrivals(world)) as found:
        yield found


@pytest.fixture
def newcomer(world: World) -> Iterator[Arrivals]:
    """The same, of a learner nobody saved yet."""
    with closing(Arrivals(world, saved=False)) as found:
        yield found


def described(hour: float, method: str, *segments: str) -> Fact:
    """The course, described at that hour."""
    data = {"course": "c", "title": "C", "cost": 3, "method": method, "segments": list(segments)}
    return Fact("course.saved", DAWN + timedelta(hours=hour), data)


def status(hour: float, said: str) -> Fact:
    """The learner, made active or inactive at that hour."""
    return Fact("learner.status_changed", DAWN + timedelta(hours=hour), {"learner": "a", "status": said})


#: What the property found once, and what was mended.
FOUND: dict[str, tuple[str, list[Fact]]] = {
    "the lesser of two descriptions of one time withdrew, and is heard first": (
        "segments",
        [described(5.5, "segments", "s", "t"), described(5, "segments", "s", "t"), described(5, "segments")],
    ),
    "a rule withdrew at the moment at which the learner is active again": (
        "manual",
        [status(2, "inactive"), described(3, "everyone"), described(4, "manual"), status(4, "active")],
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_r06_r28_what_was_found_ends_alike_in_every_order(arrivals: Arrivals, name: str) -> None:
    beginning, said = FOUND[name]
    wrong = differences(arrivals.ends(beginning, said), said)
    assert not wrong, f"{beginning} at first\n{wrong[0]}"


@histories(300)  # as many as the proof of R6 and R28 needs: make chaos tries 20,000
@given(beginning=beginnings, said=sets(3))
def test_r06_r28_every_order_of_arrival_ends_in_the_same_rows_and_ledger(
    arrivals: Arrivals, beginning: str, said: list[Fact]
) -> None:
    wrong = differences(arrivals.ends(beginning, said), said)
    assert not wrong, f"{beginning} at first\n{wrong[0]}"


def test_r27_a_start_from_before_a_withdrawal_counts_also_of_who_is_saved_after_that(newcomer: Arrivals) -> None:
    said = [
        Fact("learner.saved", DAWN + timedelta(hours=2), {"learner": "a"}),
        Fact("course.started", DAWN + timedelta(hours=3), {"learner": "a", "course": "c"}),
        Fact("enrolment.withdrawn", DAWN + timedelta(hours=4), {"learners": ["a"], "course": "c"}),
    ]
    ends = newcomer.ends("everyone", said)
    assert {end.charged for end in ends} == {frozenset({("cycle 1", False)})}
    assert not differences(ends, said)


@histories(100)
@given(beginning=beginnings, said=sets(2), first=saved)
def test_r06_r28_every_order_ends_alike_of_who_is_not_saved_at_first(
    newcomer: Arrivals, beginning: str, said: list[Fact], first: Fact
) -> None:
    said = [first, *said]
    times = [one.time for one in said if one.type == "learner.saved"]
    assume(len(times) == len(set(times)))  # of two of one time nothing says which took which version (S1)
    wrong = differences(newcomer.ends(beginning, said), said)
    assert not wrong, f"{beginning} at first\n{wrong[0]}"
