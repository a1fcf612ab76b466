"""Why something came to be as it is: the chain from the event that caused it to every effect, from what is stored."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.explaining.rules import WHY, Explanation, Step, explained, of_access, step
    from tasks.explaining.store import charge_of, in_order, steps_of, unresolved_starts
else:
    __getattr__ = lazily(__name__)
