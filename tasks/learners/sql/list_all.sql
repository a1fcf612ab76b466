-- The first learners behind a number who are active or inactive: each by an index that holds nobody else.
SELECT l.learner AS number, l.id AS learner, CAST(l.standing AS text) AS status, l.username, l.email, l.first_name,
       l.last_name, l.locale, l.time_zone
FROM (
    (SELECT l.* FROM learners l
     WHERE l.organisation = :organisation AND l.learner > CAST(:after AS int) AND l.standing = 'active'
     ORDER BY l.learner LIMIT :limit)
    UNION ALL
    (SELECT l.* FROM learners l
     WHERE l.organisation = :organisation AND l.learner > CAST(:after AS int) AND l.standing = 'inactive'
     ORDER BY l.learner LIMIT :limit)
) l
ORDER BY l.learner LIMIT :limit
