-- Of the learners with the so many numbers before one, those who stand so, the newest first.
SELECT l.learner AS number, l.id AS learner, CAST(l.standing AS text) AS status, l.username, l.email, l.first_name,
       l.last_name, l.locale, l.time_zone
FROM learners l
WHERE l.organisation = :organisation AND l.learner < CAST(:before AS int)
  AND l.learner >= CAST(:before AS int) - CAST(:scanned AS int)
  AND CAST(l.standing AS text) = ANY(CAST(:standings AS text[]))
ORDER BY l.learner DESC LIMIT :limit
