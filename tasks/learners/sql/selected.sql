-- The learners with these ids or these numbers, judged by the history at a moment (S3). Of a list that is empty nothing
-- is looked up.
WITH chosen AS (
    SELECT l.organisation, l.learner, l.standing, l.deleted_at
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:ids AS text[])) AS id) asked
    JOIN learners l ON l.organisation = asked.organisation AND l.id = asked.id
    UNION ALL
    SELECT l.organisation, l.learner, l.standing, l.deleted_at
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner) asked
    JOIN learners l ON l.organisation = asked.organisation AND l.learner = asked.learner
), judged AS (
    SELECT c.learner, coalesce(latest.active, true) AS active
    FROM chosen c
    LEFT JOIN LATERAL status_in_life(c.organisation, c.learner, CASE WHEN c.deleted_at IS NULL THEN '-infinity'
        ELSE life_began(c.organisation, c.learner, :moment) END, :moment) latest ON true
    WHERE c.standing IN ('active', 'inactive')
)
SELECT count(*) AS known,
       coalesce(array_agg(learner ORDER BY learner) FILTER (WHERE active), '{}') AS active,
       coalesce(array_agg(learner ORDER BY learner) FILTER (WHERE NOT active), '{}') AS inactive
FROM judged
