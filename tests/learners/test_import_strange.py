"""R2: of whatever a stranger exports, nobody whom it calls inactive ends as active; it is read as it is meant, or
refused with a reason."""

import io

import pytest

from config.database import transaction
from tasks import imports, organisations
from tests.learners.strange import CELLS, COLUMNS, FORMS, IDS, Strange
from tests.world import World


def became(world: World, body: str | bytes) -> str:
    """What became of a file in an organisation of its own."""
    world.organisation = f"strange-{world.ask('SELECT count(*) FROM organisations')}"
    world.has_organisation()
    return imported(world, body)


def imported(world: World, body: str | bytes) -> str:
    """What became of a file, as `strange` has it."""
    with transaction(world.runtime.engine) as connection:
        org = organisations.find(connection, [world.organisation])[world.organisation]
    source = io.BytesIO(body.encode() if isinstance(body, str) else body)
    try:
        layout = imports.layout_of(source)
        wanted = imports.ImportOptions(world.runtime.home / "refused.csv")
        result = imports.import_file(world.runtime.engine, world.runtime.settings, org, source, layout, wanted)
    except imports.NotReadable as problem:
        return str(problem)
    stand = world.rows(
        """
        SELECT id || CASE standing WHEN 'active' THEN '+' WHEN 'inactive' THEN '-' ELSE '?' END FROM learners
        WHERE organisation = :number ORDER BY id COLLATE "C"
        """,
        number=org.organisation,
    )
    return " ".join([*(one for (one,) in stand), *(f"{n} {reason}" for reason, n in result.refused.items())])


@pytest.mark.parametrize("files", [FORMS, COLUMNS, CELLS, IDS], ids=["forms", "columns", "cells", "ids"])
def test_r02_a_strange_file_is_read_as_it_is_meant_or_refused(world: World, files: list[Strange]) -> None:
    found = {what: became(world, body) for what, body, _ in files}

    whole = {what: said for what, said in found.items() if not said.startswith(("There is", "The ", "No ", "'"))}
    assert {what: whole[what] for what, _, expected in files if whole.get(what, expected) != expected} == {}
    assert {what: found[what] for what, _, expected in files if not found[what].startswith(expected)} == {}


@pytest.mark.parametrize("written", ["e\u0301-1", "\u00e9-1"])
def test_r02_a_learner_whom_events_call_by_separate_accents_is_the_one_meant(world: World, written: str) -> None:
    world.has_learners("e\u0301-1", "\u00e9-2", "e\u0301-2")

    said = imported(world, f"id,email,status\n{written},a@x.example,Suspended\nplain,b@x.example,Active\n")

    assert said == "e\u0301-1- e\u0301-2+ plain+ \u00e9-2+"


def test_r02_where_both_are_known_a_file_means_the_composed_one(world: World) -> None:
    world.has_learners("\u00e9-2", "e\u0301-2")

    assert imported(world, "id,email,status\n\u00e9-2,a@x.example,Suspended\n") == "e\u0301-2+ \u00e9-2-"
