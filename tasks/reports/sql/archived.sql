-- Learners who are inactive with their training history (R29, R30), so many after one: as the archived export has them,
-- and those who were never enrolled. An index has the inactive alone.
SELECT l.learner AS number, l.id AS learner, l.username, l.email, l.first_name, l.last_name, c.id AS course, c.title,
       e.cycle, e.enrolled_at, e.silent, e.started_at, e.completed_at, e.result, e.withdrawn_at
FROM (
    SELECT * FROM learners WHERE organisation = :organisation AND standing = 'inactive' AND learner > :after
    ORDER BY learner LIMIT :limit
) l
LEFT JOIN enrolments e ON e.organisation = l.organisation AND e.learner = l.learner
LEFT JOIN courses c ON c.organisation = e.organisation AND c.course = e.course
ORDER BY l.learner, e.course, e.cycle
