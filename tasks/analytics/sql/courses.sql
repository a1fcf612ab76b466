-- Analytics of the active by course, those nobody takes too (R29); as `reports.summary`, which is asked of one as well.
SELECT c.organisation, c.id, c.title,
       count(e.learner) FILTER (WHERE e.withdrawn_at IS NULL) AS enrolled,
       count(e.started_at) FILTER (WHERE e.withdrawn_at IS NULL) AS started,
       count(e.completed_at) FILTER (WHERE e.withdrawn_at IS NULL) AS completed,
       count(e.learner) FILTER (WHERE e.withdrawn_at IS NULL AND e.started_at IS NULL) AS not_started,
       count(e.withdrawn_at) AS withdrawn
FROM courses c
LEFT JOIN (enrolments e JOIN learners l USING (organisation, learner))
    ON e.organisation = c.organisation AND e.course = c.course AND l.standing = 'active'
WHERE c.organisation = :organisation
GROUP BY c.organisation, c.id, c.title
