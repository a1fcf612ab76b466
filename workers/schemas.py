"""The JSON Schemas of what programs read and write, made from the types: `python -m workers.schemas` writes them."""

import json
from pathlib import Path
from typing import Any

import msgspec

from tasks.announcements import Progress
from tasks.events.inbox import Quarantined
from tasks.events.schemas import TYPES
from tasks.imports import Imported
from tasks.reports import CourseSummary
from tasks.seats import Entry
from workers.commands import announcements, demo, events, learners, reconcile, seats, system, templates

#: Where they are kept in the repo.
FOLDER = Path(__file__).parents[1] / "docs" / "schemas"

#: What each command prints with --json.
RESULTS: dict[str, Any] = {
    "announcements-cancel": announcements.Draft,
    "announcements-create": announcements.Draft,
    "announcements-launch": announcements.Draft,
    "announcements-list": list[announcements.Draft],
    "announcements-pause": announcements.Draft,
    "announcements-resume": announcements.Draft,
    "announcements-show": Progress,
    "demo": demo.Told,
    "events-discard": list[events.Decided],
    "events-publish": events.Published,
    "events-quarantined": list[Quarantined],
    "events-release": list[events.Decided],
    "learners-activate": list[learners.Toggled],
    "learners-deactivate": list[learners.Toggled],
    "learners-import": Imported,
    "learners-show": learners.Shown,
    "migrate": system.Migrated,
    "reconcile": reconcile.Reconciled,
    "reports-summary": list[CourseSummary],
    "seats-ledger": list[Entry],
    "seats-show": seats.Shown,
    "status": system.Status,
    "templates-list": list[templates.Template],
    "templates-render": templates.Rendered,
    "wait": system.Waited,
}


def all_schemas() -> dict[str, str]:
    """Each schema's file, relative to `FOLDER`, and its text."""
    found = {f"commands/{name}.json": kind for name, kind in RESULTS.items()}
    found |= {f"events/{name}.json": kind for name, kind in TYPES.items()}
    return {
        file: json.dumps(msgspec.json.schema(kind), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for file, kind in sorted(found.items())
    }


def main() -> None:
    """Write every schema anew."""
    for file, text in all_schemas().items():
        path = FOLDER / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
