-- Keep every start (R28), and the earliest of each enrolment, of those that change nothing else.
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
SELECT start_enrolments(:organisation, array_agg(course), array_agg(cycle), array_agg(learner), array_agg(time))
FROM new WHERE simple
