"""The customers of the platform: licence, pool, admins."""

from tasks.organisations.store import (
    Organisation,
    after,
    every,
    find,
    lock,
    number_learners,
    numbered,
    put_back,
    reserve,
    save,
    take_out,
)
