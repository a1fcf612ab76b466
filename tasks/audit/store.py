"""What is written into the audit log."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from config.database import execute, scoped
from config.words import as_json
from tasks.accounts import Caller

#: The number that stands for the installation, where an act is about no organisation.
INSTALLATION = 0


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act and its outcome. `before` and `after` hold what changed: never a secret, never a body."""

    act: str
    subject: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    outcome: str = "done"


def record(connection: Connection, organisation: int | None, caller: Caller, entries: Sequence[AuditEntry]) -> None:
    """Write entries, in the transaction of what they tell of."""
    number = organisation or INSTALLATION
    with scoped(connection, number):
        execute(
            connection,
            """
            INSERT INTO audit (organisation, who, door, address, act, subject, before, after, outcome)
            SELECT :organisation, :who, :door, :address, act, subject, CAST(before AS jsonb), CAST(after AS jsonb),
                   outcome
            FROM unnest(CAST(:acts AS text[]), CAST(:subjects AS text[]), CAST(:befores AS text[]),
                        CAST(:afters AS text[]), CAST(:outcomes AS text[]))
                 AS said (act, subject, before, after, outcome)
            """,
            organisation=number,
            who=caller.who,
            door=caller.door,
            address=caller.address,
            acts=[entry.act for entry in entries],
            subjects=[entry.subject for entry in entries],
            befores=[_json(entry.before) for entry in entries],
            afters=[_json(entry.after) for entry in entries],
            outcomes=[entry.outcome for entry in entries],
        )


def _json(said: dict[str, Any] | None) -> str | None:
    return None if said is None else as_json(said).decode()
