"""What programs read and write, as JSON Schemas, AsyncAPI and OpenAPI, and the commands, as an outline and as a page.

All of it is made from the types.

`python -m workers.schemas` writes them.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import typer

from tasks.accounts import AccountDetails, SessionDetails, TokenDetails
from tasks.acts import accounts as account_acts
from tasks.acts import announcements as announcement_acts
from tasks.acts import events as event_acts
from tasks.acts import learners as learner_acts
from tasks.acts import mail as mail_acts
from tasks.acts import seats as seat_acts
from tasks.acts import suppressions as suppression_acts
from tasks.acts import system as system_acts
from tasks.acts import templates as template_acts
from tasks.acts import webhooks as webhook_acts
from tasks.acts.course_previews import CoursePreview
from tasks.acts.drafts import DeletedDraft
from tasks.announcements import Preview, RetriedAnnouncement, Sent
from tasks.audit import AuditRecord
from tasks.events import TYPES, TYPES_OUT, CloudEventEnvelope, Data, DecidedEvent, Quarantined
from tasks.explaining import Explanation
from tasks.imports import Imported
from tasks.mail import MailingChange, RetriedNotices, SentInLog, ServerCheck, Suppression
from tasks.reports import CourseSummary
from tasks.seats import Entry
from tasks.system import PoolAdvice
from tasks.webhooks import Attempt, Webhook
from tasks.work import FailingWork
from workers import asyncapi, cli, outline
from workers.commands import cells as cell_commands
from workers.commands import (
    demo,
    events,
    mail,
    reconcile,
    restored,
    seats,
    system,
    templates,
    verify,
)
from workers.moving import Moved
from workers.web.api import openapi

#: Where they are kept in the repo.
FOLDER = Path(__file__).parents[1] / "docs" / "schemas"

#: Both directions, as AsyncAPI.
CONTRACT = FOLDER.parent / "asyncapi.json"

#: The HTTP API, as OpenAPI.
API = FOLDER.parent / "openapi.json"

#: Every command with its options, as a page.
COMMANDS = FOLDER.parent / "commands.md"

#: What each command prints with --json; where that is a line for each, one line.
RESULTS: dict[str, Any] = {
    "accounts-add": account_acts.PasswordLink,
    "accounts-disable": account_acts.DisabledAccount,
    "accounts-list": list[AccountDetails],
    "accounts-password": account_acts.PasswordLink,
    "accounts-sessions": list[SessionDetails],
    "accounts-sign-out": account_acts.SignedOut,
    "accounts-totp": account_acts.SecondFactor,
    "audit": AuditRecord,
    "cells-add": cell_commands.AddedCell,
    "cells-forget": cell_commands.Forgotten,
    "cells-list": cell_commands.CellList,
    "cells-move": Moved,
    "announcements-cancel": announcement_acts.AnnouncementState,
    "announcements-create": announcement_acts.AnnouncementState,
    "announcements-delete": DeletedDraft,
    "announcements-edit": announcement_acts.AnnouncementState,
    "announcements-launch": announcement_acts.AnnouncementState,
    "announcements-list": list[announcement_acts.Listed],
    "announcements-pause": announcement_acts.AnnouncementState,
    "announcements-preview": Preview,
    "announcements-resume": announcement_acts.AnnouncementState,
    "announcements-retry-failed": RetriedAnnouncement,
    "announcements-show": announcement_acts.AnnouncementDetails,
    "announcements-show-history": list[MailingChange],
    "announcements-test": Sent,
    "announcements-unschedule": announcement_acts.AnnouncementState,
    "courses-preview": CoursePreview,
    "demo": demo.DemoResult,
    "events-decided": list[DecidedEvent],
    "events-discard": list[event_acts.EventDecision],
    "events-publish": events.Published,
    "events-quarantined": list[Quarantined],
    "events-release": list[event_acts.EventDecision],
    "events-replay": event_acts.Replayed,
    "events-key": events.Key,
    "events-sign": events.Signed,
    "explain": Explanation,
    "learners-activate": list[learner_acts.Toggled],
    "learners-deactivate": list[learner_acts.Toggled],
    "learners-import": Imported,
    "learners-resubscribe": list[learner_acts.Subscribed],
    "learners-show": learner_acts.LearnerDetails,
    "learners-unsubscribe": list[learner_acts.Subscribed],
    "mail-check": ServerCheck,
    "mail-dkim": mail.Record,
    "mail-pause": mail_acts.MailState,
    "mail-resume": mail_acts.MailState,
    "mail-retry": list[RetriedNotices],
    "mail-sent-since": SentInLog,
    "migrate": system.Migrated,
    "pools-advise": list[PoolAdvice],
    "pools-pause": system_acts.PoolState,
    "pools-resume": system_acts.PoolState,
    "reconcile": reconcile.Reconciled,
    "reports-summary": list[CourseSummary],
    "restored": restored.Restored,
    "seats-ledger": list[Entry],
    "seats-reviewed": list[seat_acts.Reviewed],
    "seats-show": seat_acts.BalanceDetails,
    "seats-verify": seats.Verified,
    "status": system_acts.SystemStatus,
    "suppressions-add": suppression_acts.SuppressionDecision,
    "suppressions-list": Suppression,
    "suppressions-remove": suppression_acts.SuppressionDecision,
    "suppressions-remove-many": suppression_acts.Lifted,
    "templates-list": list[template_acts.Template],
    "templates-render": templates.Rendered,
    "tokens-add": account_acts.AddedToken,
    "tokens-list": list[TokenDetails],
    "tokens-revoke": account_acts.RevokedToken,
    "verify": verify.VerifiedDatabase,
    "wait": system.Waited,
    "webhooks-add": webhook_acts.Added,
    "webhooks-disable": webhook_acts.Changed,
    "webhooks-enable": webhook_acts.Changed,
    "webhooks-list": list[Webhook],
    "webhooks-log": list[Attempt],
    "webhooks-remove": webhook_acts.Changed,
    "webhooks-rotate": webhook_acts.Added,
    "webhooks-show": Webhook,
    "webhooks-test": webhook_acts.Tested,
    "work-failing": list[FailingWork],
    "work-discard": list[system_acts.DiscardedWork],
    "work-pause": system_acts.HaltState,
    "work-resume": system_acts.HaltState,
    "work-retry": list[system_acts.Retried],
}


def whole(name: str, data: type[Data]) -> type[msgspec.Struct]:
    """A whole event in of one type: its envelope, whose `type` is its name, with its data."""
    of_this_type = {"type": Literal[name], "data": data}
    fields = msgspec.structs.fields(CloudEventEnvelope)
    needed = [(field.name, of_this_type.get(field.name, field.type)) for field in fields if field.required]
    others = [(field.name, field.type, field.default) for field in fields if not field.required]
    return msgspec.defstruct(name, [*needed, *others])


def _text(document: Any, *, sort_keys: bool = False) -> str:
    """A document as JSON, without the indentation of docstrings: from 3.13 on, Python takes that away itself."""
    return re.sub(r"\\n +", r"\\n", json.dumps(document, indent=2, sort_keys=sort_keys, ensure_ascii=False)) + "\n"


def all_schemas() -> dict[str, str]:
    """Each schema's file, relative to `FOLDER`, and its text."""
    found = {f"commands/{name}.json": kind for name, kind in RESULTS.items()}
    found |= {f"events/{name}.json": kind for name, kind in TYPES.items()}
    found |= {f"cloudevents/{name}.json": whole(name, kind) for name, kind in TYPES.items()}
    found |= {f"events/{name}.json": kind for name, kind in TYPES_OUT.items()}
    return {file: _text(msgspec.json.schema(kind), sort_keys=True) for file, kind in sorted(found.items())}


def contract() -> str:
    """The text of `CONTRACT`."""
    return _text(asyncapi.document())


def api() -> str:
    """The text of `API`."""
    return _text(openapi.document())


def commands_page() -> str:
    """The text of `COMMANDS`, from the commands' outline."""
    lines = [
        "# Commands",
        "",
        "`make schemas` writes this page from the commands; `--help` of a command says the same. With `--json` a",
        "command prints one JSON document and nothing else. `rollcall --version` prints the version.",
    ]
    for name, command in commands(outline.read()):
        lines += ["", f"## rollcall {name}", "", *(command.help or "").splitlines()]
        rows = [_row(one) for one in command.params if one.name != "json_" and not one.hidden]
        if rows:
            lines += ["", "| option | meaning |", "| --- | --- |", *rows]
        if (schema := name.replace(" ", "-")) in RESULTS:
            lines += ["", f"`--json` prints [{schema}](schemas/commands/{schema}.json)."]
    return "\n".join(lines) + "\n"


def commands(outlined: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every command of an outline, by its words."""
    tree: Any = typer.main.get_command(outline.app_of(outlined, lambda: None))
    for name, command in tree.commands.items():
        for inside, one in getattr(command, "commands", {"": command}).items():
            yield f"{name} {inside}".strip(), one


def _row(one: Any) -> str:
    """A parameter as a row of its command's table."""
    value = "" if getattr(one, "is_flag", True) else f" {one.metavar or 'VALUE'}"
    names = [one.metavar or one.name.upper()] if one.param_type_name == "argument" else one.opts + one.secondary_opts
    default = "" if one.default is None or isinstance(one.default, bool) else f" Unset: `{one.default}`."
    need = " Needed." if one.required else default
    meaning = (one.help or "").replace("|", "\\|")
    return f"| {', '.join(f'`{name}{value}`' for name in names)} | {meaning}{need} |"


def main() -> None:
    """Write every schema, and the page of the commands, anew."""
    for file, text in all_schemas().items():
        path = FOLDER / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    CONTRACT.write_text(contract(), encoding="utf-8")
    API.write_text(api(), encoding="utf-8")
    outline.FILE.write_text(outline.text(cli.whole()), encoding="utf-8")
    COMMANDS.write_text(commands_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
