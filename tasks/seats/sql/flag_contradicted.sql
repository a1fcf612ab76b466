-- Flag what these learners consumed, or started at no cost, at a time at which, as it turns out, they were inactive
-- (R28, S13).
WITH asked AS (
    SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner
), flagged AS (
    INSERT INTO reviews (organisation, consumption, code, event)
    SELECT c.organisation, c.consumption, 'learner inactive', c.event
    FROM asked JOIN consumptions c ON c.organisation = asked.organisation AND c.learner = asked.learner
    WHERE NOT status_at(c.organisation, c.learner, c.occurred_at)
    ON CONFLICT DO NOTHING
)
SELECT flag_enrolments(:organisation, array_agg(e.course), array_agg(e.cycle), array_agg(e.learner),
                       array_agg(CAST('learner inactive' AS text)))
FROM asked JOIN enrolments e ON e.organisation = asked.organisation AND e.learner = asked.learner
WHERE e.started_at IS NOT NULL AND NOT status_at(e.organisation, e.learner, e.started_at)
  AND NOT EXISTS (
      SELECT FROM consumptions c WHERE c.organisation = e.organisation AND c.learner = e.learner
        AND c.course = e.course AND c.cycle = e.cycle)
