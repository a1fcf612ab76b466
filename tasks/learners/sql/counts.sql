-- How many learners of an organisation are active, and how many inactive. Who is neither, and who is inactive, is in a
-- small index; who is active is the rest of the numbers that were given out.
SELECT CAST(o.learners - coalesce(sum(n.learners), 0) AS bigint) AS active,
       CAST(coalesce(sum(n.learners) FILTER (WHERE n.standing = 'inactive'), 0) AS bigint) AS inactive
FROM organisations o
LEFT JOIN LATERAL (
    SELECT l.standing, count(*) AS learners FROM learners l
    WHERE l.organisation = o.organisation AND l.standing <> 'active' GROUP BY l.standing
) n ON true
WHERE o.organisation = :organisation GROUP BY o.learners
