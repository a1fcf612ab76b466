"""A file is taken in slices, while others work: R6, R31, R32, R33, S8."""

import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError
from structlog.testing import capture_logs

from config.database import lock_organisations
from tests.learners.importing import HEADER, imported, line, small_slices, standings
from tests.world import World


def test_s08_the_admins_of_those_who_are_back_get_one_mail_however_many_slices(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.has_learners("00", "zz", email=None, status="inactive")
    numbered = [f"L{n:04}" for n in range(1000)]

    with small_slices(monkeypatch):
        result = imported(world, HEADER + "".join(line(id_, email=None) for id_ in ["00", *numbered, "zz"]))
    world.settle()

    assert (result.new, result.activated) == (1000, 2)
    assert world.mail.recipients == ["admin@acme.example"]


def test_learners_are_numbered_densely_whatever_the_slices(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.has_segment("nurses", "L0005", "elsewhere")
    text = HEADER + "".join(line(f"L{n:04}", "Suspended" if n % 10 == 0 else "Active") for n in range(1000))

    read: list[int] = []
    done: list[tuple[int, int]] = []

    with small_slices(monkeypatch), capture_logs() as lines:
        result = imported(
            world, text, on_batch=lambda: read.append(len(done)), on_slice=lambda *part: done.append(part)
        )

    assert set(read) == {0}, "all of it is read before any is taken"
    pages = len(done)
    assert done == [(n, pages) for n in range(1, pages + 1)]
    assert pages > 2
    [said] = [one for one in lines if one["event"] == "import.finished"]
    assert {name: said[name] for name in ("organisation", "read", "new", "refused", "encoding")} == {
        "organisation": 1, "read": 1000, "new": 1000, "refused": {}, "encoding": "utf-8",
    }  # fmt: skip
    assert said.keys() & {"sample", "columns", "unknown_statuses"} == set(), "it may name people"
    assert (result.read, result.new, result.inactive) == (1000, 1000, 100)
    assert world.list("SELECT learner FROM learners ORDER BY learner") == list(range(1, 1002))
    assert world.ask("SELECT learners FROM organisations") == 1001
    assert world.ask("SELECT count(*) FROM learners WHERE standing = 'inactive'") == 100


@pytest.mark.parametrize("dry_run", [True, False])
def test_the_lines_of_newcomers_are_not_gone_through_for_what_cannot_be_there(
    world: World, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    world.has_organisation(reactivation_digest=True)
    for name in ("known_unread", "odd_zones", "odd_statuses", "emptied", "notices"):
        monkeypatch.setattr(f"tasks.imports.judging.{name}", None)
    monkeypatch.setattr("tasks.imports.store.describe_known", None)
    text = HEADER + "".join(line(f"L{n:03}") for n in range(200))
    done: list[int] = []

    with small_slices(monkeypatch):
        imported(world, text, on_slice=lambda part, _of: done.append(part), dry_run=dry_run, notify=False)

    assert len(done) > 1
    assert world.ask("SELECT count(*) FROM fanouts") == 0, "there are no courses"


def test_r33_a_slice_that_loses_a_race_is_taken_again_and_one_that_cannot_be_taken_is_not(world: World) -> None:
    world.execute("CREATE SEQUENCE tries")
    world.execute("""
        CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            CASE nextval('tries')
                WHEN 1 THEN RAISE EXCEPTION 'no' USING ERRCODE = 'serialization_failure';
                WHEN 4 THEN RAISE EXCEPTION 'no' USING ERRCODE = 'connection_failure';
                ELSE RETURN NEW;
            END CASE;
        END $$
    """)
    world.execute("CREATE TRIGGER lose BEFORE INSERT ON learners FOR EACH ROW EXECUTE FUNCTION lose()")
    world.execute("ALTER TABLE learners ADD CHECK (id <> 'B')")

    assert imported(world, HEADER + line("A")).new == 1
    assert world.ask("SELECT last_value FROM tries") == 2
    assert world.list("SELECT learner FROM learners") == [1], "the number that was lost is given out"
    with pytest.raises(IntegrityError):
        imported(world, HEADER + line("B"))

    assert world.ask("SELECT last_value FROM tries") == 3
    with pytest.raises(OperationalError):
        imported(world, HEADER + line("C"))

    assert world.ask("SELECT last_value FROM tries") == 4, "the lines are lost with their connection"
    assert standings(world) == {"A": "active"}


def test_r31_a_slice_waits_for_whoever_is_changing_the_organisation(world: World) -> None:
    taking = threading.Thread(target=imported, args=(world, HEADER + line("A")))
    with world.about() as (connection, org):
        lock_organisations(connection, [org.organisation])
        taking.start()
        while not world.waiting():
            assert taking.is_alive()
    taking.join()

    assert standings(world) == {"A": "active"}


def test_r06_who_is_saved_while_the_import_runs_is_not_added_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = HEADER + "".join(line(f"L{n:04}", "Suspended") for n in range(500))
    slices = []

    def meanwhile(done: int, _of: int) -> None:
        slices.append(done)
        if done == 1:
            world.has_learners("L0499", "L0498", "other", last_name="Newer", at=datetime.now(UTC))

    with small_slices(monkeypatch):
        result = imported(world, text, on_slice=meanwhile)

    assert len(slices) > 2
    assert (result.new, result.changed, result.deactivated) == (498, 2, 2)
    assert world.ask("SELECT count(*) FROM learners") == 501
    assert world.ask("SELECT last_name FROM learners WHERE id = 'L0499'") == "LastL0499"
    assert world.list("SELECT learner FROM learners ORDER BY learner") == list(range(1, 502))


def test_r32_an_import_that_was_interrupted_is_finished_by_the_same_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.has_course("safety", "everyone")
    text = HEADER + "".join(line(f"L{n:04}", email=None) for n in range(500))

    def lights_out(done: int, _of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with small_slices(monkeypatch), pytest.raises(KeyboardInterrupt):
        imported(world, text, on_slice=lights_out)
    taken = world.ask("SELECT count(*) FROM learners")
    result = imported(world, text)
    world.settle()

    assert 0 < taken < 500
    assert (result.new, result.unchanged) == (500 - taken, taken)
    assert world.ask("SELECT count(*) FROM enrolments WHERE activated_at IS NOT NULL") == 500
