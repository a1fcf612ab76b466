-- The learners with these numbers, who stand so.
SELECT l.learner AS number, l.id AS learner, CAST(l.standing AS text) AS status, l.username, l.email, l.first_name,
       l.last_name, l.locale, l.time_zone
FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner) found
JOIN learners l ON l.organisation = found.organisation AND l.learner = found.learner
WHERE CAST(l.standing AS text) = ANY(CAST(:standings AS text[]))
ORDER BY l.learner
