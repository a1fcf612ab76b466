"""Deleting learners: what of them goes, whatever is heard last, as SQL (S15)."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from config.database import execute
from config.sql import query
from tasks.learners.store import Description


def keep_outdone(connection: Connection, organisation: int, descriptions: Sequence[Description]) -> None:
    """Keep when learners were described by what does not hold; what it said only where it happened after what holds,
    and a deletion in between could still make it hold (R6, S15)."""
    if not descriptions:
        return
    execute(
        connection,
        query("learners.keep_outdone"),
        organisation=organisation,
        learners=[d.learner for d in descriptions],
        versions=[d.version for d in descriptions],
        times=[d.time for d in descriptions],
        saids=[d.said() for d in descriptions],
    )


def erase(connection: Connection, organisation: int, learners: Sequence[int], times: Sequence[datetime]) -> None:
    """Remove what identifies learners, as of these times; what was charged stays, without a name (S15). Who was
    described after that is who that says."""
    scope: dict[str, object] = {"organisation": organisation, "learners": list(learners), "times": list(times)}
    execute(
        connection,
        """
        UPDATE learners l SET username = NULL, email = NULL, first_name = NULL, last_name = NULL, locale = NULL,
            time_zone = NULL, saved_version = NULL, saved_at = gone.time
        FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                     unnest(CAST(:times AS timestamptz[])) AS time) gone
        WHERE l.organisation = gone.organisation AND l.learner = gone.learner
        """,
        **scope,
    )
    execute(
        connection,
        query("learners.erase"),
        **scope,
    )


def end_memberships(
    connection: Connection, organisation: int, learners: Sequence[int], times: Sequence[datetime]
) -> None:
    """Note deletions, and end every membership that began until then, also those that we hear of later (R6, S15)."""
    parameters: dict[str, object] = {"organisation": organisation, "learners": list(learners), "times": list(times)}
    execute(
        connection,
        query("learners.end_memberships"),
        **parameters,
    )
    execute(
        connection,
        """
        UPDATE memberships m SET member = false, since = gone.time
        FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                     unnest(CAST(:times AS timestamptz[])) AS time) gone
        WHERE m.organisation = gone.organisation AND m.learner = gone.learner AND m.since <= gone.time
        """,
        **parameters,
    )
