-- Analytics of one course or of all, those nobody takes too; whoever is not active now is left out (R29).
SELECT c.id AS course, c.title,
       count(e.learner) FILTER (WHERE e.withdrawn_at IS NULL) AS enrolled,
       count(e.started_at) FILTER (WHERE e.withdrawn_at IS NULL) AS started,
       count(e.completed_at) FILTER (WHERE e.withdrawn_at IS NULL) AS completed,
       count(e.learner) FILTER (WHERE e.withdrawn_at IS NULL AND e.started_at IS NULL) AS not_started,
       count(e.withdrawn_at) AS withdrawn
FROM courses c
LEFT JOIN (enrolments e JOIN learners l USING (organisation, learner))
    ON e.organisation = c.organisation AND e.course = c.course AND l.standing = 'active'
WHERE c.organisation = :organisation AND (CAST(:course AS text) IS NULL OR c.id = :course)
GROUP BY c.course, c.id, c.title ORDER BY c.id
