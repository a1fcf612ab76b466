"""Whether what must hold holds: every invariant, of each organisation and of the database, from what is stored."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.verification.invariants import Breach, Invariant, of_database, of_organisation
else:
    __getattr__ = lazily(__name__)
