-- Remove what identifies learners, as of these times; what was charged stays, without a name (S15).
WITH left_ AS MATERIALIZED (
    SELECT DISTINCT ON (d.learner) d.organisation, d.learner, d.occurred_at, d.version, said.*
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                 unnest(CAST(:times AS timestamptz[])) AS time) gone
    JOIN descriptions d ON d.organisation = gone.organisation AND d.learner = gone.learner
        AND d.occurred_at > gone.time AND d.said IS NOT NULL
    CROSS JOIN LATERAL json_to_record(d.said) AS said (
        username text, email text, first_name text, last_name text, locale text, time_zone text)
    ORDER BY d.learner, d.version DESC, d.occurred_at DESC
)
UPDATE learners l SET username = r.username, email = r.email, first_name = r.first_name,
    last_name = r.last_name, locale = r.locale, time_zone = r.time_zone, saved_version = r.version,
    saved_at = r.occurred_at
FROM left_ r WHERE l.organisation = r.organisation AND l.learner = r.learner
