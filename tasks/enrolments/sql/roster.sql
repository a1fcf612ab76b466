-- Of the next so many enrolments in a course, those that stand, or do not.
SELECT looked.learner AS number, l.id AS learner, CAST(l.standing AS text) AS status, l.username, l.email, l.first_name,
       l.last_name, looked.cycle, looked.silent, looked.enrolled_at, looked.started_at, looked.completed_at,
       looked.withdrawn_at, looked.withdrawn_by
FROM (SELECT e.organisation, e.learner, e.cycle, e.silent, e.enrolled_at, e.started_at, e.completed_at, e.withdrawn_at,
             e.withdrawn_by
      FROM enrolments e
      WHERE e.organisation = :organisation AND e.course = :course
        AND (e.cycle, e.learner) > (CAST(:cycle AS int), CAST(:after AS int))
      ORDER BY e.cycle, e.learner LIMIT :scanned) looked
JOIN learners l ON l.organisation = looked.organisation AND l.learner = looked.learner
WHERE l.standing IN ('active', 'inactive')
  AND CASE WHEN looked.withdrawn_at IS NULL THEN 'enrolled' ELSE 'withdrawn' END = ANY(CAST(:states AS text[]))
ORDER BY looked.cycle, looked.learner LIMIT :limit
