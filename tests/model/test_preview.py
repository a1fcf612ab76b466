"""What a preview says is what comes of it, whatever happened before."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tasks.accounts import Caller, Door, Role
from tasks.acts import courses, enrolments
from tasks.acts.acting import perform
from tasks.enrolments import EnrolmentCounts, EnrolmentPreview
from tests.model.present import histories
from tests.world import World

LEARNERS = ("A", "B", "C", "D", "E")
SEGMENTS = ("s", "t")
BY = Caller("admin", Door.API, Role.ADMIN, frozenset({"acme"}))

some = st.lists(st.sampled_from(LEARNERS), min_size=1, max_size=4, unique=True)
step = st.one_of(
    st.tuples(st.just("becomes"), st.sampled_from(["active", "inactive"]), some),
    st.tuples(st.just("joins"), st.sampled_from(SEGMENTS), some),
    st.tuples(st.just("leaves"), st.sampled_from(SEGMENTS), some),
    st.tuples(st.just("asks"), st.sampled_from(["active", "all"]), some),
    st.tuples(st.just("withdraws"), st.just(""), some),
    st.tuples(st.just("starts"), st.just(""), some),
    st.tuples(st.just("method"), st.sampled_from(["manual", "everyone", "segments"]), st.just(["s"])),
    st.tuples(st.just("settles"), st.just(""), st.just([])),
)
method = st.tuples(
    st.sampled_from(["manual", "everyone", "segments"]), st.lists(st.sampled_from(SEGMENTS), unique=True)
)
request = st.tuples(
    st.lists(st.sampled_from([*LEARNERS, "nobody"]), max_size=6), st.sampled_from(["active", "all"]), st.booleans()
)


def take(world: World, step: tuple[str, str, list[str]], *, on_hold: bool) -> None:
    """Something happens."""
    what, how, whom = step
    match what:
        case "becomes":
            world.becomes(how, *whom)
        case "joins" | "leaves":
            world.say(f"segment.{'joined' if what == 'joins' else 'left'}", segment=how, learners=whom)
        case "asks":
            world.asks_to_enrol("safety", *whom, tab=how)
        case "withdraws":
            world.withdraws("safety", *whom)
        case "starts":
            world.starts(whom[0], "safety")
        case "method":
            world.has_course("safety", how, segments=whom, cost=3, on_hold=on_hold)
        case "settles":
            world.settle()


def told(world: World, fanouts: list[int]) -> Counter[str]:
    """What is in the ledger of the notices of these fan-outs, by state and reason."""
    rows = world.rows(
        """
        SELECT coalesce(d.reason, 'send') FROM fanouts f JOIN deliveries d ON d.mailing = f.mailing
        WHERE f.fanout = ANY(:fanouts)
        """,
        fanouts=fanouts,
    )
    return Counter(reason for (reason,) in rows)


@histories(4)
@given(st.lists(step, max_size=8), st.booleans(), st.booleans(), method | request)
def test_r14_a_preview_and_the_act_agree(
    world: World, steps: list[tuple[str, str, list[str]]], on_hold: bool, seats: bool, asked: Any
) -> None:
    world.organisation = f"acme{world.ask('SELECT count(*) FROM organisations')}"
    world.has_organisation("seats" if seats else "credits")
    world.has_learners("A", "B", "D")
    world.has_learners("C", "E", email=None)
    for segment in SEGMENTS:
        world.has_segment(segment)
    world.has_course("safety", cost=3, on_hold=on_hold)
    for one in steps:
        take(world, one, on_hold=on_hold)
    caller = replace(BY, organisations=frozenset({world.organisation}))
    before = world.ask("SELECT coalesce(max(fanout), 0) FROM fanouts")

    def do(act: Any, what: Any) -> Any:
        return perform(world.runtime, caller, act, what, world.organisation)

    if len(asked) == 2:
        name, segments = asked
        preview: EnrolmentPreview = do(courses.preview, courses.PreviewAsked("safety", method=name, segments=segments))
        do(courses.set_method, courses.CourseMethod("safety", name, segments))
    else:
        ids, tab, notify = asked
        preview = do(courses.preview, courses.PreviewAsked("safety", learners=ids, tab=tab, notify=notify))
        counts: EnrolmentCounts = do(enrolments.request, enrolments.EnrolmentsAsked("safety", ids, tab, notify=notify))
        said = (preview.selected, preview.enrolled, preview.silent, preview.already, preview.not_eligible)
        assert said == (counts.selected, counts.enrolled, counts.silent, counts.already, counts.not_eligible)

    fanouts = world.list("SELECT fanout FROM fanouts WHERE fanout > :before", before=before)
    became = world.rows(
        "SELECT silent, withdrawn_at IS NOT NULL FROM enrolments WHERE fanout = ANY(:fanouts)", fanouts=fanouts
    )
    assert (preview.enrolled, preview.silent, preview.withdrawn) == (
        became.count((False, False)),
        became.count((True, False)),
        sum(ended for _, ended in became),
    )
    said_no = {why: n for why, n in preview.not_told.items() if why in {"no address", "suppressed"}}
    assert Counter(said_no) + Counter(send=preview.notices) == told(world, fanouts)
    assert preview.notices + sum(preview.not_told.values()) == preview.enrolled + preview.silent
    world.settle()
    used = world.ask("SELECT coalesce(sum(amount), 0) FROM consumptions")
    for (learner,) in world.rows(
        """
        SELECT l.id FROM enrolments e JOIN learners l USING (organisation, learner)
        WHERE e.fanout = ANY(:fanouts) AND e.withdrawn_at IS NULL
        """,
        fanouts=fanouts,
    ):
        world.becomes("active", learner)
        world.starts(learner, "safety", at=datetime.now(UTC))
    world.settle()
    assert world.ask("SELECT coalesce(sum(amount), 0) FROM consumptions") - used == preview.consumed


def test_a_preview_changes_nothing(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety")
    tables = "SELECT count(*) FROM inbox UNION ALL SELECT count(*) FROM fanouts UNION ALL SELECT count(*) FROM work"
    before = world.list(tables)

    perform(world.runtime, BY, courses.preview, courses.PreviewAsked("safety", method="everyone"), "acme")

    assert world.list(tables) == before
