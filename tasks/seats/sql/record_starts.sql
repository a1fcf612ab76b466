-- Keep the earliest start of each enrolment, of those that change nothing else, and every start (R28).
WITH new AS (
    SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
           unnest(CAST(:courses AS int[])) AS course, unnest(CAST(:cycles AS int[])) AS cycle,
           unnest(CAST(:times AS timestamptz[])) AS time, unnest(CAST(:simple AS boolean[])) AS simple
), kept AS (
    INSERT INTO starts AS known (organisation, learner, course, cycle, occurred_at, released)
    SELECT organisation, learner, course, cycle, time, :released FROM new
    ON CONFLICT (organisation, learner, course, cycle, occurred_at)
    DO UPDATE SET released = true WHERE excluded.released
)
UPDATE enrolments e SET started_at = least(e.started_at, new.time),
    activated_at = coalesce(e.activated_at, new.time)
FROM new
WHERE new.simple AND e.organisation = new.organisation AND e.course = new.course AND e.cycle = new.cycle
  AND e.learner = new.learner
