-- Flag starts that, as it turns out, do not count: on their entry, or where they cost nothing on the enrolment (R28,
-- S13).
WITH told AS (
    SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
           unnest(CAST(:courses AS int[])) AS course, unnest(CAST(:cycles AS int[])) AS cycle,
           unnest(CAST(:times AS timestamptz[])) AS time, unnest(CAST(:codes AS text[])) AS code
), flagged AS (
    INSERT INTO reviews (organisation, consumption, code, event)
    SELECT c.organisation, c.consumption, s.code, c.event
    FROM told s
    JOIN consumptions c ON c.organisation = s.organisation AND c.learner = s.learner AND c.course = s.course
        AND c.cycle = s.cycle AND c.occurred_at = s.time
    ON CONFLICT DO NOTHING
)
SELECT flag_enrolments(:organisation, array_agg(s.course), array_agg(s.cycle), array_agg(s.learner), array_agg(s.code))
FROM told s
WHERE NOT EXISTS (
    SELECT FROM consumptions c WHERE c.organisation = s.organisation AND c.learner = s.learner
      AND c.course = s.course AND c.cycle = s.cycle)
