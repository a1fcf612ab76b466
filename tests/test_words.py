"""How numbers and times are written."""

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from config.words import as_json, counted, rfc3339
from tests.world import World

ROOT = Path(__file__).parents[1]

#: A number that is printed before a plural without a look at whether it is one.
UNCOUNTED = re.compile(
    r"""f".*\{[\w.()\[\]' -]+\} (?:[a-z-]+ )?(?:learners|mails|lines|events|entries|addresses|notices|recipients|"""
    r"""mailings|organisations|processes|webhooks|announcements|credits|seats)\b"""
)


def test_one_is_no_plural() -> None:
    assert [counted(n, "learner") for n in (0, 1, 2)] == ["0 learners", "1 learner", "2 learners"]
    assert [counted(n, "entry is", "entries are") for n in (1, 5)] == ["1 entry is", "5 entries are"]


def test_what_is_printed_counts_with_words_for_one() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (ROOT / "workers").rglob("*.py")
        for line in path.read_text().splitlines()
        if UNCOUNTED.search(line)
    }

    assert {
        line for line in found if not any(known in line for known in ("more than {", "MOST_", "{rollcall}"))
    } == set()


@pytest.mark.parametrize("offset", [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-14))])
def test_a_time_in_json_is_in_utc_to_the_microsecond(world: World, offset: timezone) -> None:
    for moment in (datetime(2026, 1, 10, 9, tzinfo=UTC), datetime(2026, 1, 10, 9, 0, 0, 7, tzinfo=UTC)):
        elsewhere = moment.astimezone(offset)

        assert rfc3339(elsewhere) == world.ask("SELECT rfc3339(:moment)", moment=moment)
        assert as_json({"a": [(elsewhere, 1)]}) == f'{{"a":[["{rfc3339(moment)}",1]]}}'.encode()
