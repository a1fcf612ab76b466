-- Bring the standing of these learners in line with what was saved and with their history; who changed.
WITH present AS MATERIALIZED (
    SELECT l.organisation, l.learner, l.standing AS before, CASE
        WHEN l.saved_at IS NULL THEN 'unsaved'
        WHEN l.saved_at <= l.deleted_at THEN 'deleted'
        WHEN status_at(l.organisation, l.learner, 'infinity') THEN 'active'
        ELSE 'inactive'
    END AS after
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner) asked
    JOIN learners l ON l.organisation = asked.organisation AND l.learner = asked.learner
)
UPDATE learners l SET standing = CAST(present.after AS standing) FROM present
WHERE l.organisation = present.organisation AND l.learner = present.learner
  AND present.before <> CAST(present.after AS standing)
RETURNING l.learner, l.id, present.before, present.after, l.username, l.email
