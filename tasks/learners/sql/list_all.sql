-- The first learners behind a number who stand so: each standing by an index of its own, which holds nobody else.
SELECT l.learner AS number, l.id AS learner, CAST(l.standing AS text) AS status, l.username, l.email, l.first_name,
       l.last_name, l.locale, l.time_zone
FROM (
    (SELECT a.* FROM learners a
     WHERE a.organisation = :organisation AND a.learner > CAST(:after AS int) AND a.standing = 'active'
       AND 'active' = ANY(CAST(:standings AS text[]))
     ORDER BY a.learner LIMIT :limit)
    UNION ALL
    (SELECT i.* FROM learners i
     WHERE i.organisation = :organisation AND i.learner > CAST(:after AS int) AND i.standing = 'inactive'
       AND 'inactive' = ANY(CAST(:standings AS text[]))
     ORDER BY i.learner LIMIT :limit)
) l
ORDER BY l.learner LIMIT :limit
