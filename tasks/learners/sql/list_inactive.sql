-- The first inactive learners behind a number, by an index that holds nobody else.
SELECT l.learner AS number, l.id AS learner, CAST(l.standing AS text) AS status, l.username, l.email, l.first_name,
       l.last_name, l.locale, l.time_zone
FROM learners l
WHERE l.organisation = :organisation AND l.learner > CAST(:after AS int) AND l.standing = 'inactive'
ORDER BY l.learner LIMIT :limit
