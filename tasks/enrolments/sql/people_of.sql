-- These learners: how they stand, when they were deleted and described, and every change of their status.
SELECT l.learner, l.standing, l.saved_at,
       ARRAY(SELECT d.occurred_at FROM deletions d
             WHERE d.organisation = l.organisation AND d.learner = l.learner ORDER BY 1) AS deletions,
       ARRAY(SELECT d.occurred_at FROM descriptions d
             WHERE d.organisation = l.organisation AND d.learner = l.learner) AS described,
       coalesce(s.versions, '{}') AS versions, coalesce(s.times, '{}') AS times,
       coalesce(s.actives, '{}') AS actives
FROM (SELECT DISTINCT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner
     ) asked
JOIN learners l ON l.organisation = asked.organisation AND l.learner = asked.learner
LEFT JOIN LATERAL (
    SELECT array_agg(version ORDER BY version, occurred_at) AS versions,
           array_agg(occurred_at ORDER BY version, occurred_at) AS times,
           array_agg(active ORDER BY version, occurred_at) AS actives
    FROM status_changes s WHERE s.organisation = l.organisation AND s.learner = l.learner) s ON true
