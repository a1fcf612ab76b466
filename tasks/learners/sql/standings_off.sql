-- The learners whose present standing is not what their history says.
WITH latest AS (
    SELECT DISTINCT ON (s.learner) s.learner, s.active FROM status_changes s
    JOIN learners l ON l.organisation = :organisation AND l.learner = s.learner
    WHERE s.organisation = :organisation AND s.occurred_at > coalesce(l.deleted_at, '-infinity')
    ORDER BY s.learner, s.version DESC, s.occurred_at DESC
)
SELECT l.learner FROM learners l LEFT JOIN latest USING (learner)
WHERE l.organisation = :organisation AND l.standing IN ('active', 'inactive')
  AND (l.standing = 'active') <> coalesce(latest.active, true)
ORDER BY l.learner
