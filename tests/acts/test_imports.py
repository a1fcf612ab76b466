"""Files that come through the API: imported by a worker, and done again from the beginning if it is lost."""

import io
from typing import Any

import pytest

from config.errors import Invalid, NotFound
from tasks.acts import imports as acts
from tasks.imports import UNASKED
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


def test_what_cannot_be_read_fails_and_says_why(world: World) -> None:
    one = begin(world, b"a,b\n1,2\n")
    world.settle()
    found = do(world, acts.show, one)

    assert (found.state, found.result) == ("failed", None)
    assert "no column for the learner's id" in found.problem or "none" in found.problem
    with pytest.raises(Invalid) as wrong:
        begin(world, map=["nonsense"])
    assert [bad.pointer for bad in wrong.value.errors] == ["/map"]


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


def test_r35_who_is_erased_is_in_no_lines_that_were_refused(world: World) -> None:
    world.has_learners("A")
    one = begin(world)
    world.settle()
    world.say("learner.deleted", learner="A")
    world.settle()

    assert refused(world, one) == b""
    assert do(world, acts.show, one).result.sample == []
