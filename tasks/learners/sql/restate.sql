-- Bring the standing of these learners in line with what was saved and with their history, and their version with the
-- highest that was heard of; whose standing changed.
WITH present AS MATERIALIZED (
    SELECT l.organisation, l.learner, l.standing AS before, CASE
        WHEN l.saved_at IS NULL THEN 'unsaved'
        WHEN l.saved_at <= l.deleted_at THEN 'deleted'
        WHEN coalesce(latest.active, true) THEN 'active'
        ELSE 'inactive'
    END AS after, greatest(l.version, asked.version) AS version
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                 unnest(CAST(:versions AS bigint[])) AS version) asked
    JOIN learners l ON l.organisation = asked.organisation AND l.learner = asked.learner
    LEFT JOIN LATERAL status_in_life(l.organisation, l.learner, coalesce(l.deleted_at, '-infinity'), 'infinity') latest
        ON true
), restated AS (
    UPDATE learners l SET standing = CAST(present.after AS standing), version = present.version FROM present
    WHERE l.organisation = present.organisation AND l.learner = present.learner
      AND (present.before <> CAST(present.after AS standing) OR l.version < present.version)
    RETURNING l.learner, l.id, present.before, present.after, l.username, l.email
)
SELECT * FROM restated WHERE before <> CAST(after AS standing) ORDER BY learner
