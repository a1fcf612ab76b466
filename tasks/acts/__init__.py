"""What people and programs can do, one function for each act, whichever door they come through.

Commands, the API and the console parse, call `perform`, and show. A module here is about one kind of thing. It may ask
every capability; no capability knows it.
"""

from importlib import import_module
from typing import Any

from tasks.acts.acting import ACTS, Act, Doing, Nothing, act, perform

#: The modules that have acts: `every` imports them all.
MODULES = (
    "access", "accounts", "analytics", "announcements", "auditing", "course_previews", "courses", "drafts",
    "enrolments", "events", "explaining", "imports", "launching", "learners", "learner_previews", "mail",
    "organisations", "previews", "reports", "seats", "segments", "sessions", "suppressions", "system", "templates",
    "underway", "webhooks",
)  # fmt: skip


def every() -> dict[str, Act[Any, Any]]:
    """All acts by name. A command imports only the module it needs."""
    for module in MODULES:
        import_module(f"tasks.acts.{module}")
    return ACTS
