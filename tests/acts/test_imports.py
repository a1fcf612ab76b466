"""Files that come through the API: imported by a worker, and done again from the beginning if it is lost."""

import io
from datetime import timedelta
from typing import Any

import pytest

from config.database import autocommit, value
from config.errors import Conflict, Invalid, NotFound
from config.locks import IMPORT_LOCK
from tasks.acts import imports as acts
from tasks.acts.paging import PageAsked
from tasks.imports import UNASKED, actors
from tests.acts.doing import audited, do
from tests.world import World

FILE = b"id,username,email,status\nN1,n1,n1@acme.example,active\n,n2,n2@acme.example,active\n"


def begin(world: World, file: bytes = FILE, **how: Any) -> acts.OneImport:
    begun = do(world, acts.run, acts.ImportRun(file=io.BytesIO(file), **how))
    assert begun.document.state == "running"
    return acts.OneImport(int(begun.location.removeprefix("imports/")))


def refused(world: World, one: acts.OneImport) -> bytes:
    return b"".join(do(world, acts.refused, one).blocks)


def test_a_file_is_imported_by_a_worker_and_says_what_became_of_it(world: World) -> None:
    one = begin(world)
    before = do(world, acts.show, one)
    world.settle()
    after = do(world, acts.show, one)

    assert (before.state, before.result, world.ask("SELECT count(*) FROM learners")) == ("running", None, 1)
    assert (after.state, after.done, after.total, after.problem) == ("done", 1, 1, None)
    assert (after.result.read, after.result.new, after.result.refused) == (2, 1, {"no id": 1})
    assert after.result.refused_file == f"imports/{one.id}/refused"
    assert b"no id" in refused(world, one)
    assert audited(world, "imports.run") == [(str(one.id), None, {"dry_run": False}, "begun")]
    assert world.list("SELECT DISTINCT part FROM upload_blocks") == ["refused"], "the file itself is not kept"
    assert world.list("SELECT actor FROM work") == []


def test_r33_an_import_whose_worker_is_lost_is_done_by_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one = begin(world)
    monkeypatch.setattr("tasks.uploads.settle", lambda *_, **__: (_ for _ in ()).throw(SystemError("killed")))
    world.settle()
    assert do(world, acts.show, one).state == "running"
    monkeypatch.undo()
    world.execute("UPDATE work SET due_at = now(), since = now()")

    world.settle()

    assert do(world, acts.show, one).state == "done"
    assert world.ask("SELECT count(*) FROM learners") == 1


def test_r33_whoever_has_lost_an_import_takes_no_more_of_the_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.imports.intake.SLICE_PAGES", 1)
    world.execute("""
        CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE work SET fence = fence + 1 WHERE organisation = 1;
            RETURN NULL;
        END $$
    """)
    world.execute("CREATE TRIGGER lose AFTER INSERT ON learners FOR EACH STATEMENT EXECUTE FUNCTION lose()")
    one = begin(world, b"id,username,status\n" + b"".join(b"N%d,n%d,active\n" % (n, n) for n in range(300)))

    world.settle()
    taken = world.ask("SELECT count(*) FROM learners")
    world.execute("DROP TRIGGER lose ON learners")
    world.execute("UPDATE work SET due_at = now()")
    world.settle()

    assert 0 < taken < 200, "the first slice alone"
    assert do(world, acts.show, one).result.new == 300 - taken


def test_r31_an_import_waits_while_another_is_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors, "TURN_SOON", timedelta(hours=1))
    one = begin(world)
    with autocommit(world.runtime.engine) as other:
        value(other, "SELECT pg_advisory_lock(:lock)", lock=IMPORT_LOCK)
        world.settle()
        value(other, "SELECT pg_advisory_unlock(:lock)", lock=IMPORT_LOCK)
    waits = world.rows("SELECT state, failures, due_at - now() > interval '30 minutes' FROM work")
    before = do(world, acts.show, one)
    world.execute("UPDATE work SET due_at = now()")
    world.settle()

    assert (waits, before.state) == ([("due", 0, True)], "running")
    assert do(world, acts.show, one).state == "done"


def test_what_cannot_be_read_fails_and_says_why(world: World) -> None:
    one = begin(world, b"a,b\n1,2\n")
    world.settle()
    found = do(world, acts.show, one)

    assert (found.state, found.result) == ("failed", None)
    assert "no column for the learner's id" in found.problem or "none" in found.problem
    with pytest.raises(Invalid) as wrong:
        begin(world, map=["nonsense"])
    assert [bad.pointer for bad in wrong.value.errors] == ["/map"]


def test_a_worker_imports_as_it_was_asked_to(world: World) -> None:
    world.has_learners("N1", email="n1@acme.example", first_name="Ann")
    world.has_course("X", "everyone")
    world.settle()
    world.mail.taken.clear()
    file = "id~username~email~first name~status\nN1~n1~n1@acme.example~~active\nN2~n2~n2@acme.example~Zoé~active\n"

    one = begin(world, file.encode("cp437"), encoding="cp437", delimiter="~", notices=False, keep_empty=True)
    world.settle()
    result = do(world, acts.show, one).result

    assert (result.encoding, result.refused_file) == ("cp437", None)
    assert world.list("SELECT first_name FROM learners ORDER BY id") == ["Ann", "Zoé"]
    assert world.mail.taken == []


def test_many_are_told_only_if_somebody_says_so(world: World) -> None:
    world.has_course("X", "everyone")
    many = b"id,username,email,status\n" + b"".join(
        b"N%d,n%d,n%d@acme.example,active\n" % (n, n, n) for n in range(UNASKED + 1)
    )
    asked, told = begin(world, many), begin(world, many, yes=True, dry_run=True)
    world.settle()

    assert "would be told by mail" in do(world, acts.show, asked).problem
    assert do(world, acts.show, told).result.notices == UNASKED + 1
    assert world.ask("SELECT count(*) FROM learners") == 0


def test_r31_nothing_of_another_organisation_is_shown(world: World) -> None:
    world.send(world.event("organisation.saved", {"name": "B", "licence": "seats", "pool": 1}, organisation="borealis"))
    one = begin(world)
    world.settle()

    for act in (acts.show, acts.refused):
        with pytest.raises(NotFound):
            do(world, act, one, "borealis")
    with pytest.raises(NotFound):
        do(world, acts.again, acts.ImportAgain(id=one.id), "borealis")
    assert listed(world, "borealis") == []


def test_r35_who_is_erased_is_in_no_lines_that_were_refused(world: World) -> None:
    world.has_learners("A")
    one = begin(world)
    looked_at = begin(world, FILE.replace(b"n1,n1@acme.example,active", b"n1,n1@acme.example,gone"), dry_run=True)
    world.settle()
    world.say("learner.deleted", learner="A")
    world.settle()

    assert refused(world, one) == b""
    assert do(world, acts.show, one).result.sample == []
    assert do(world, acts.show, looked_at).result.unknown_statuses == {}
    assert world.ask("SELECT count(*) FROM upload_blocks") == 0, "nor in a file that is kept"


def test_a_file_that_was_looked_at_is_corrected_looked_at_again_and_imported(world: World) -> None:
    strange = b"id,username,email,status\nN1,n1,,blue\nN2,n2,,Blue\nN3,n3,,active\nN4,,,active\n"
    one = begin(world, strange, dry_run=True, name="staff.csv")
    world.settle()
    first = do(world, acts.show, one)
    again = acts.ImportAgain(id=one.id, dry_run=True, map_status=["blue=inactive"])
    assert do(world, acts.again, again).location == f"imports/{one.id}"
    world.settle()
    second = do(world, acts.show, one)
    do(world, acts.again, acts.ImportAgain(id=one.id, map_status=["blue=inactive"]))
    world.settle()
    last = do(world, acts.show, one)

    assert (first.kept, first.result.unknown_statuses) == (True, {"blue": 1, "Blue": 1})
    assert first.result.refused == {"neither username nor e-mail": 1, "unknown status": 2}
    assert (second.kept, second.result.new, second.result.inactive) == (True, 3, 2)
    assert second.asked.map_status == ["blue=inactive"]
    assert refused(world, one).count(b"\n") == 2, "of the last reading alone"
    assert (last.kept, last.result.new, world.ask("SELECT count(*) FROM learners")) == (False, 3, 3)
    with pytest.raises(Conflict, match="send the file again"):
        do(world, acts.again, again)
    assert [(found.id, found.name, found.dry_run, found.read, found.refused) for found in listed(world)] == [
        (one.id, "staff.csv", False, 4, 1)
    ]


def listed(world: World, organisation: str = "acme") -> list[acts.ListedImport]:
    found: list[acts.ListedImport] = []
    after = None
    while not found or after:
        page = do(world, acts.list_, PageAsked(limit=1, after=after), organisation)
        found += page.items
        after = page.next
        if not page.items:
            break
    return found


def test_a_file_that_nobody_imports_is_kept_for_a_day(world: World) -> None:
    one, failed, running = begin(world, dry_run=True), begin(world, b"a,b\n1,2\n"), None
    world.settle()
    assert [do(world, acts.show, each).kept for each in (one, failed)] == [True, True]
    running = begin(world, dry_run=True)
    world.execute("UPDATE work SET due_at = now(), state = 'due' WHERE actor = 'imports.drop'")
    world.settle()

    assert [do(world, acts.show, each).kept for each in (one, failed, running)] == [False, False, True]
    assert world.list("SELECT actor FROM work WHERE state <> 'scheduled'") == []
    assert [each.id for each in listed(world)] == [running.id, failed.id, one.id]
    assert (
        world.ask("SELECT count(*) FROM work WHERE actor = 'imports.drop' AND due_at > now() + interval '1 hour'") == 1
    )
