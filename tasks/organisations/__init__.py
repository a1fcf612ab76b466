"""The customers of the platform: licence, pool, admins."""

from tasks.organisations.store import (
    NUMBER_LEARNERS,
    Organisation,
    after,
    every,
    find,
    lock,
    number_learners,
    numbered,
    reserve,
    save,
)
