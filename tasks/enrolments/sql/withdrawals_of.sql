-- Every withdrawal by name of these learners in these courses: each pair is looked up, whatever the planner believes.
SELECT w.course, w.cycle, w.learner, w.occurred_at, false AS released
FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:courses AS int[])) AS course,
             unnest(CAST(:learners AS int[])) AS learner) asked
CROSS JOIN LATERAL (
    SELECT * FROM withdrawals WHERE organisation = asked.organisation AND course = asked.course
      AND learner = asked.learner OFFSET 0) w
