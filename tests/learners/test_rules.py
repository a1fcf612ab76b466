"""Which description holds, and what a change of status means: R3, R4, R5, R7, R10, S1, S8."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from tasks.learners.rules import Change, Standing, chunks, effective_version, holds

THEN = datetime(2026, 3, 1, tzinfo=UTC)
LATER = THEN + timedelta(seconds=1)
UNSAVED, ACTIVE, INACTIVE, DELETED = Standing


def change(before: Standing, after: Standing, email: str | None = None) -> Change:
    """As it is read: the database says it in texts."""
    return Change(1, "A", cast("Standing", str(before)), cast("Standing", str(after)), "a", email)


#: What each change is, of all that there may be; any other is nothing of all this.
MEANS = {
    (UNSAVED, ACTIVE): {"arrived"},
    (UNSAVED, INACTIVE): {"arrived"},
    (DELETED, ACTIVE): {"returned", "reactivated"},
    (DELETED, INACTIVE): {"returned"},
    (INACTIVE, ACTIVE): {"reactivated"},
    (ACTIVE, INACTIVE): {"suspended"},
    (ACTIVE, DELETED): {"suspended"},
}


@pytest.mark.parametrize(("before", "after"), [*itertools.product(Standing, Standing)])
def test_r03_r04_r07_r10_what_a_change_of_standing_means(before: Standing, after: Standing) -> None:
    found = change(before, after)

    said = {name for name in ("arrived", "returned", "reactivated", "suspended") if getattr(found, name)}

    assert said == MEANS.get((before, after), set())


@pytest.mark.parametrize(("email", "by_username"), [(None, True), ("", True), ("a@acme.example", False)])
def test_s08_who_has_no_address_signs_in_by_username(email: str | None, by_username: bool) -> None:
    assert change(INACTIVE, ACTIVE, email).signs_in_by_username is by_username


@pytest.mark.parametrize(("version", "highest", "effective"), [(None, 7, 7), (3, 7, 3), (0, 7, 0), (9, 7, 9)])
def test_s01_what_has_no_version_takes_the_highest_known(version: int | None, highest: int, effective: int) -> None:
    assert effective_version(version, highest) == effective


@pytest.mark.parametrize(
    ("said", "known", "holds_"),
    [
        ((1, THEN), (None, None), True),
        ((1, THEN), (None, LATER), True),
        ((1, THEN), (2, None), True),
        ((1, THEN), (1, THEN), True),
        ((1, THEN), (1, LATER), False),
        ((1, LATER), (1, THEN), True),
        ((2, THEN), (1, LATER), True),
        ((1, LATER), (2, THEN), False),
    ],
)
def test_s01_order_is_version_then_time(
    said: tuple[int, datetime], known: tuple[int | None, datetime | None], holds_: bool
) -> None:
    assert holds(*said, *known) is holds_


@pytest.mark.parametrize(
    ("count", "size", "stretches"),
    [(0, 3, []), (1, 3, [(1, 1)]), (3, 3, [(1, 3)]), (7, 3, [(1, 3), (4, 6), (7, 7)]), (2, 1, [(1, 1), (2, 2)])],
)
def test_learners_are_split_by_their_numbers(count: int, size: int, stretches: list[tuple[int, int]]) -> None:
    assert list(chunks(count, size)) == stretches
