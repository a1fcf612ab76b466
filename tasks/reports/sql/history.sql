-- The history of status: one row for each change of each learner (R30), in the order in which the changes hold (S1), so
-- that a learner's last row is how they stand.
SELECT o.id AS organisation, l.id AS learner, l.standing AS learner_status, rfc3339(h.occurred_at) AS occurred_at,
       CASE WHEN h.active THEN 'active' ELSE 'inactive' END AS status, h.cause
FROM learners l
JOIN organisations o USING (organisation)
JOIN status_changes h USING (organisation, learner)
WHERE l.organisation = :organisation AND l.standing = :standing
ORDER BY l.learner, h.version, h.occurred_at
