"""Databases whose ledger of deliveries was divided long ago: to make its months takes longer than most tests."""

from collections.abc import Callable

import pytest

from tests.databases import Databases
from tests.retention.months import numbered_in


@pytest.fixture(scope="session")
def _divided(copies_of: Callable[..., Databases]) -> Databases:
    """Copies of one that has the months since the fifteenth before this one, in which mailings are numbered."""
    return copies_of(lambda world: numbered_in(world, 15))


@pytest.fixture
def copies(request: pytest.FixtureRequest, _databases: Databases) -> Databases:
    """Of one with these months where a test asks for `months`."""
    if "months" not in request.fixturenames:
        return _databases
    found: Databases = request.getfixturevalue("_divided")
    return found


@pytest.fixture
def months() -> None:
    """The ledger was divided fifteen months ago, and mailings are numbered in that month."""
