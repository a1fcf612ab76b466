"""What an organisation only ever mentioned costs nobody anything: work is cut by the learners whom it is about, not by
the numbers that were given out (R31)."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from config.settings import Settings
from tasks import announcements, enrolments, mail
from tasks.announcements.previews import preview
from tasks.mail.ledger.retrying import retry_notices
from tasks.mail.rules import Kind
from tests.databases import Databases
from tests.scale.explained import explained
from tests.world import World, work_on

CHUNK, BATCH = 10, 4

#: So many ids are mentioned around each learner who is saved.
MENTIONED = 60

SAVED = [f"L{n}" for n in range(12)]


#: Chunks and batches that are small.
SMALL = {"rollcall_chunk": CHUNK, "rollcall_mail_batch": BATCH}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With small chunks and batches."""
    return settings.model_copy(update=SMALL)


def mentions(world: World) -> None:
    """An organisation mentions far more ids than it has learners; the last six learners are neighbours."""
    world.has_organisation()
    world.has_course("unrelated")
    for place, id_ in enumerate(SAVED):
        if place <= 6:
            world.withdraws("unrelated", *(f"x{place}-{n}" for n in range(MENTIONED)))
        world.has_learners(id_)


@pytest.fixture(scope="module")
def _sparse(copies_of: Callable[..., Databases]) -> Databases:
    return copies_of(mentions, **SMALL)


@pytest.fixture
def copies(request: pytest.FixtureRequest, _databases: Databases, _sparse: Databases) -> Databases:
    """Of one in which that has happened, where a test asks for it."""
    return _sparse if "sparse" in request.fixturenames else _databases


@pytest.fixture
def sparse(world: World) -> World:
    """Where that has happened a minute ago."""
    world.clock += timedelta(minutes=1)
    return world


def pieces(world: World) -> int:
    """How many pieces of work were ever written down."""
    return int(world.ask("SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('work', 'work')), 0)"))


def selected(world: World, announcement: str) -> int:
    """How many an announcement went to, of whom all got it."""
    progress = world.progress(announcement)
    assert progress.state == "finished"
    assert progress.accepted == progress.selected
    return progress.selected


@pytest.mark.parametrize("ids", [[], ["nobody"], ["x0-1", "x3-5", "nobody"]])
def test_r13_an_announcement_to_nobody_who_is_saved_makes_no_piece_and_finishes(sparse: World, ids: list[str]) -> None:
    before = pieces(sparse)

    sparse.announces(audience={"learners": ids})
    sparse.settle()

    assert (selected(sparse, "news"), pieces(sparse) - before) == (0, 0)
    [told] = sparse.out("announcement.finished")
    assert told["selected"] == told["accepted"] == 0


def test_r31_an_announcement_to_one_learner_is_one_piece_of_mail(sparse: World) -> None:
    before = pieces(sparse)

    sparse.announces(audience={"learners": ["L3", "x1-1", "L3"]})

    assert sparse.list("SELECT actor FROM work") == ["mail.deliver"]
    sparse.settle()
    assert (selected(sparse, "news"), pieces(sparse) - before) == (1, 1)
    assert sparse.mail.recipients == ["l3@acme.example"]


def test_r31_the_pieces_of_an_audience_keep_the_place_of_their_survey(sparse: World) -> None:
    sparse.announces(audience={"everyone": True})
    [(number, survey, since)] = sparse.rows("SELECT organisation, work, since FROM work")

    work_on(sparse.runtime, "announcements.survey", number, survey)

    assert sparse.rows("SELECT DISTINCT actor, since FROM work") == [("announcements.audience", since)]


@pytest.mark.parametrize(
    ("audience", "surveys"),
    [({"everyone": True}, 1), ({"learners": [*SAVED, "x2-2"]}, 0), ({"segments": ["s", "t"]}, 1)],
)
def test_r31_the_pieces_of_an_audience_follow_its_learners(
    sparse: World, audience: dict[str, object], surveys: int
) -> None:
    sparse.has_segment("s", *SAVED[:8], "x1-7")
    sparse.has_segment("t", *SAVED[6:])
    sparse.settle()
    before = pieces(sparse)

    sparse.announces(audience=audience)
    sparse.settle()

    assert selected(sparse, "news") == len(SAVED)
    assert sorted(sparse.mail.recipients) == sorted(f"{id_.lower()}@acme.example" for id_ in SAVED)
    assert pieces(sparse) - before <= surveys + 2 + len(SAVED) // BATCH + 1


@pytest.mark.parametrize(
    "audience", [{"everyone": True}, {"learners": [*SAVED, "x2-2", "no"]}, {"segments": ["s", "t"]}]
)
def test_r16_a_preview_counts_whom_the_launch_selects(sparse: World, audience: dict[str, object]) -> None:
    sparse.has_segment("s", *SAVED[:8], "x1-7")
    sparse.has_segment("t", *SAVED[6:9])
    sparse.becomes("inactive", "L1")
    with sparse.about() as (connection, org):
        draft = mail.Draft("a", "About a", "Hello.", audience)
        assert mail.create_draft(connection, org.organisation, draft, by="test")
        found = announcements.find(connection, org.organisation, "a")
        assert found is not None
        seen = preview(connection, sparse.runtime, org.organisation, found, None)
        announcements.launch(connection, sparse.runtime.settings, org, found, by="test")

    sparse.settle()

    progress = sparse.progress("a")
    assert (seen.selected, seen.will_receive, seen.left_out) == (progress.selected, progress.accepted, progress.skipped)


def test_r31_whom_an_audience_names_is_looked_up(world: World) -> None:
    world.has_course("unrelated")
    world.withdraws("unrelated", *(f"x{n}" for n in range(3000)))
    world.has_learners("L")
    world.has_segment("s", "L")

    looked_at = {}
    for name, audience in {"learners": {"learners": ["L"]}, "segments": {"segments": ["s"]}}.items():
        with explained(world.runtime.engine) as costs:
            world.announces(name, audience=audience)
            world.settle()
        assert selected(world, name) == 1
        looked_at[name] = [cost.rows for sql, cost in costs.items() if "a.audience ->" in sql]

    assert all(looked_at.values())
    assert max(n for found in looked_at.values() for n in found) < 200, looked_at


def _sizes(world: World) -> list[int]:
    """How many mails each piece is of."""
    return world.list("""
        SELECT count(*) FROM work w JOIN deliveries d
            ON d.mailing = w.subject AND d.recipient BETWEEN w.low AND w.high AND d.state = 'pending'
        WHERE w.actor = 'mail.deliver' GROUP BY w.work ORDER BY 1
    """)


def test_r18_those_who_failed_are_tried_again_in_pieces_of_their_own_number(sparse: World) -> None:
    sparse.announces()
    sparse.settle()
    sparse.execute("UPDATE deliveries SET state = 'failed', reason = 'refused', settled_at = now()")
    sparse.execute("UPDATE mailings SET state = 'finished with failures' WHERE kind = 'announcement'")

    with sparse.about() as (connection, org):
        found = announcements.find(connection, org.organisation, "news")
        assert found is not None
        announcements.retry(connection, sparse.runtime.settings, org, found, uncertain=False, by="test")

    assert _sizes(sparse) == [BATCH] * (len(SAVED) // BATCH)


def test_r18_notices_that_failed_are_tried_again_in_pieces_of_their_own_number(sparse: World) -> None:
    sparse.has_course("safety", "everyone")
    sparse.settle()
    sparse.execute("UPDATE deliveries SET state = 'failed', reason = 'refused', settled_at = now()")
    sparse.execute("UPDATE mailings SET state = 'finished with failures'")

    with sparse.about() as (connection, org):
        since = sparse.clock.replace(year=2000)
        retry_notices(connection, org.organisation, [Kind.ENROLMENT], since, size=BATCH)

    assert _sizes(sparse) == [BATCH] * (len(SAVED) // BATCH)


@pytest.mark.parametrize("courses", [["safety"], ["safety", "fire", "first aid"]])
def test_r07_the_pieces_of_a_fan_out_follow_the_learners(sparse: World, courses: Sequence[str]) -> None:
    before = pieces(sparse)

    for course in courses:
        sparse.has_course(course, "everyone")
    sparse.settle()

    for id_ in SAVED:
        assert sparse.access(id_) == {*courses}
    assert sparse.off() == {}
    surveys, chunks, mails = 1, 2, len(SAVED) // BATCH + 2
    assert pieces(sparse) - before <= len(courses) * (surveys + chunks + mails)


@pytest.mark.slow
def test_r10_what_is_mended_in_many_courses_at_once_is_cut_by_the_learners(sparse: World) -> None:
    for n in range(CHUNK):
        sparse.has_course(f"c{n}", "everyone")
    sparse.settle()
    sparse.execute("DELETE FROM enrolments")
    before = pieces(sparse)

    with sparse.about() as (connection, org):
        enrolments.mend(connection, sparse.runtime.settings, org, sparse.clock)
    sparse.settle()

    assert sparse.off() == {}
    assert pieces(sparse) - before <= 3 + len(SAVED)
