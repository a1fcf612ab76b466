"""A database that was restored from a backup mails nobody again by itself: R19, R20, R31, S10."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.mail.backup import Backup
from tests.world import World

MANY = 30


@pytest.fixture
def backup(world: World) -> Iterator[Backup]:
    """A backup, not taken yet."""
    found = Backup(world)
    yield found
    found.forget()


def mails(world: World) -> Counter[str]:
    """How many mails each address got."""
    return Counter(world.mail.recipients)


def test_r19_a_restored_backup_sends_nothing_again_by_itself(world: World, backup: Backup) -> None:
    world.has_learners(*(f"L{n}" for n in range(MANY)))
    world.announces()
    backup.take()
    world.settle()
    assert len(mails(world)) == MANY
    backup.restore()

    world.settle()

    assert set(mails(world).values()) == {1}, "nobody gets it twice"
