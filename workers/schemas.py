"""What programs read and write, as JSON Schemas and as AsyncAPI, made from the types by `python -m workers.schemas`."""

import json
from pathlib import Path
from typing import Any

import msgspec

from tasks.announcements import Progress, Retried
from tasks.announcements.foretaste import Preview, Sent
from tasks.bounces import Suppression
from tasks.events.inbox import Quarantined
from tasks.events.outgoing import TYPES_OUT
from tasks.events.schemas import TYPES
from tasks.imports import Imported
from tasks.mail import Change
from tasks.reports import CourseSummary
from tasks.seats import Entry
from workers import asyncapi
from workers.commands import (
    announced,
    announcements,
    demo,
    events,
    learners,
    mail,
    reconcile,
    seats,
    suppressions,
    system,
    templates,
)

#: Where they are kept in the repo.
FOLDER = Path(__file__).parents[1] / "docs" / "schemas"

#: Both directions, as AsyncAPI.
CONTRACT = FOLDER.parent / "asyncapi.json"

#: What each command prints with --json; where that is a line for each, one line.
RESULTS: dict[str, Any] = {
    "announcements-cancel": announcements.Stands,
    "announcements-create": announcements.Stands,
    "announcements-edit": announcements.Stands,
    "announcements-launch": announcements.Stands,
    "announcements-list": list[announced.Listed],
    "announcements-pause": announcements.Stands,
    "announcements-preview": Preview,
    "announcements-resume": announcements.Stands,
    "announcements-retry-failed": Retried,
    "announcements-show": Progress,
    "announcements-show-history": list[Change],
    "announcements-test": Sent,
    "announcements-unschedule": announcements.Stands,
    "demo": demo.Told,
    "events-discard": list[events.Decided],
    "events-publish": events.Published,
    "events-quarantined": list[Quarantined],
    "events-release": list[events.Decided],
    "learners-activate": list[learners.Toggled],
    "learners-deactivate": list[learners.Toggled],
    "learners-import": Imported,
    "learners-resubscribe": list[learners.Subscribed],
    "learners-show": learners.Shown,
    "learners-unsubscribe": list[learners.Subscribed],
    "mail-dkim": mail.Record,
    "migrate": system.Migrated,
    "reconcile": reconcile.Reconciled,
    "reports-summary": list[CourseSummary],
    "seats-ledger": list[Entry],
    "seats-show": seats.Shown,
    "status": system.Status,
    "suppressions-add": suppressions.Decided,
    "suppressions-list": Suppression,
    "suppressions-remove": suppressions.Decided,
    "templates-list": list[templates.Template],
    "templates-render": templates.Rendered,
    "wait": system.Waited,
}


def all_schemas() -> dict[str, str]:
    """Each schema's file, relative to `FOLDER`, and its text."""
    found = {f"commands/{name}.json": kind for name, kind in RESULTS.items()}
    found |= {f"events/{name}.json": kind for name, kind in TYPES.items()}
    found |= {f"events/{name}.json": kind for name, kind in TYPES_OUT.items()}
    return {
        file: json.dumps(msgspec.json.schema(kind), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for file, kind in sorted(found.items())
    }


def contract() -> str:
    """The text of `CONTRACT`."""
    return json.dumps(asyncapi.document(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every schema anew."""
    for file, text in all_schemas().items():
        path = FOLDER / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    CONTRACT.write_text(contract(), encoding="utf-8")


if __name__ == "__main__":
    main()
