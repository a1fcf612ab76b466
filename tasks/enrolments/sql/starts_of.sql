-- Every start of these learners in these courses: each pair is looked up, whatever the planner believes.
SELECT s.course, s.cycle, s.learner, s.occurred_at, s.released
FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:courses AS int[])) AS course,
             unnest(CAST(:learners AS int[])) AS learner) asked
CROSS JOIN LATERAL (
    SELECT * FROM starts WHERE organisation = asked.organisation AND course = asked.course
      AND learner = asked.learner OFFSET 0) s
