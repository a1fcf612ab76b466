-- How the enrolments of each course were recorded, and what became of them; the view access is asked of all at once.
SELECT c.id AS course, c.title, count(*) FILTER (WHERE NOT e.silent) AS enrolled,
       count(*) FILTER (WHERE e.silent) AS silent, count(e.withdrawn_at) AS withdrawn,
       count(e.started_at) AS started, count(e.completed_at) AS completed,
       count(*) FILTER (WHERE a.granted) AS access
FROM enrolments e
JOIN access a USING (organisation, learner, course, cycle)
JOIN courses c USING (organisation, course)
WHERE e.organisation = :organisation GROUP BY c.id, c.title ORDER BY c.id
