-- Of the next so many learners who are or were in a segment, its members who stand so.
SELECT l.learner AS number, l.id AS learner, CAST(l.standing AS text) AS status, l.username, l.email, l.first_name,
       l.last_name, l.locale, l.time_zone
FROM (SELECT m.organisation, m.learner, m.member FROM memberships m
      WHERE m.organisation = :organisation AND m.segment = :segment AND m.learner > CAST(:after AS int)
      ORDER BY m.learner LIMIT :scanned) looked
JOIN learners l ON l.organisation = looked.organisation AND l.learner = looked.learner
WHERE looked.member AND CAST(l.standing AS text) = ANY(CAST(:standings AS text[]))
ORDER BY l.learner LIMIT :limit
