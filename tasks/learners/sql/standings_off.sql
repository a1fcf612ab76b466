-- The learners whose present standing is not what their history says.
SELECT l.learner FROM learners l
LEFT JOIN LATERAL status_in_life(l.organisation, l.learner, coalesce(l.deleted_at, '-infinity'), 'infinity') latest
    ON true
WHERE l.organisation = :organisation AND l.standing IN ('active', 'inactive')
  AND (l.standing = 'active') <> coalesce(latest.active, true)
ORDER BY l.learner
