-- What the active started and completed by day (R29), of each course, and of all of them under no id.
SELECT e.organisation, coalesce(c.id, '') AS id, happened.day,
       count(*) FILTER (WHERE NOT happened.completed) AS started, count(*) FILTER (WHERE happened.completed) AS completed
FROM enrolments e
JOIN learners l USING (organisation, learner)
JOIN courses c USING (organisation, course)
CROSS JOIN LATERAL (
    SELECT CAST(e.started_at AT TIME ZONE 'UTC' AS date) AS day, false AS completed WHERE e.started_at >= :since
    UNION ALL
    SELECT CAST(e.completed_at AT TIME ZONE 'UTC' AS date), true WHERE e.completed_at >= :since
) happened
WHERE e.organisation = :organisation AND l.standing = 'active' AND e.withdrawn_at IS NULL
GROUP BY e.organisation, GROUPING SETS ((happened.day), (happened.day, c.id))
