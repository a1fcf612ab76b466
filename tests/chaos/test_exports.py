"""An export of a million rows takes no more memory of `web` than one of a few."""

from pathlib import Path

from tests.api.test_heavy_exports import FLAT, running, streamed
from tests.chaos.conftest import say
from tests.world import World

#: Rows: of each of these learners in each of these courses.
LEARNERS, COURSES = 40_000, 25


def test_memory_is_flat_under_an_export_of_a_million_rows(world: World, tmp_path: Path) -> None:
    with running(world, tmp_path, LEARNERS, COURSES) as web:
        read, grown = streamed(web)

    say(f"exports: {LEARNERS * COURSES:,} rows in {read / 2**20:.0f} MB; web had {grown:.1f} MB more than before")
    assert read > LEARNERS * COURSES * 200
    assert grown <= FLAT
