"""Deleting learners: what of them goes, whatever is heard last, as SQL (S15)."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from config.database import execute
from tasks.learners.store import Description


def keep_outdone(connection: Connection, organisation: int, descriptions: Sequence[Description]) -> None:
    """Keep when learners were described by what does not hold; what it said only where it happened after what holds,
    and a deletion in between could still make it hold (R6, S15)."""
    if not descriptions:
        return
    execute(
        connection,
        """
        WITH heard AS (
            UPDATE learners l SET version = new.version
            FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                         unnest(CAST(:versions AS bigint[])) AS version) new
            WHERE l.organisation = new.organisation AND l.learner = new.learner AND l.version < new.version
        )
        INSERT INTO descriptions AS known (organisation, learner, occurred_at, version, said)
        SELECT :organisation, l.learner, new.time, new.version, CASE
            WHEN new.time > l.saved_at AND new.time > coalesce(l.deleted_at, '-infinity') THEN new.said END
        FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                     unnest(CAST(:versions AS bigint[])) AS version, unnest(CAST(:times AS timestamptz[])) AS time,
                     CAST(unnest(CAST(:saids AS text[])) AS json) AS said) new
        JOIN learners l ON l.organisation = new.organisation AND l.learner = new.learner
        ON CONFLICT (organisation, learner, occurred_at, version) DO UPDATE SET said = excluded.said
        WHERE CAST(excluded.said AS text) COLLATE "C" > coalesce(CAST(known.said AS text), '') COLLATE "C"
        """,
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
        """
        WITH left_ AS MATERIALIZED (
            SELECT DISTINCT ON (d.learner) d.organisation, d.learner, d.occurred_at, d.version, said.*
            FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                         unnest(CAST(:times AS timestamptz[])) AS time) gone
            JOIN descriptions d ON d.organisation = gone.organisation AND d.learner = gone.learner
                AND d.occurred_at > gone.time AND d.said IS NOT NULL
            CROSS JOIN LATERAL json_to_record(d.said) AS said (
                username text, email text, first_name text, last_name text, locale text, time_zone text)
            ORDER BY d.learner, d.version DESC, d.occurred_at DESC
        )
        UPDATE learners l SET username = r.username, email = r.email, first_name = r.first_name,
            last_name = r.last_name, locale = r.locale, time_zone = r.time_zone, saved_version = r.version,
            saved_at = r.occurred_at
        FROM left_ r WHERE l.organisation = r.organisation AND l.learner = r.learner
        """,
        **scope,
    )


def end_memberships(
    connection: Connection, organisation: int, learners: Sequence[int], times: Sequence[datetime]
) -> None:
    """Note deletions, and end every membership that began until then, also those that we hear of later (R6, S15)."""
    parameters: dict[str, object] = {"organisation": organisation, "learners": list(learners), "times": list(times)}
    execute(
        connection,
        """
        WITH gone AS (
            INSERT INTO deletions (organisation, learner, occurred_at)
            SELECT :organisation, learner, time
            FROM unnest(CAST(:learners AS int[]), CAST(:times AS timestamptz[])) AS new (learner, time)
            ON CONFLICT DO NOTHING
        ), forgotten AS (
            UPDATE descriptions d SET said = NULL
            FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                         unnest(CAST(:times AS timestamptz[])) AS time) gone
            WHERE d.organisation = gone.organisation AND d.learner = gone.learner AND d.occurred_at <= gone.time
              AND d.said IS NOT NULL
        )
        UPDATE learners l SET deleted_at = greatest(l.deleted_at, gone.time)
        FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                     unnest(CAST(:times AS timestamptz[])) AS time) gone
        WHERE l.organisation = gone.organisation AND l.learner = gone.learner
        """,
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
