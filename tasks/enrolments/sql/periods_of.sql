-- What the enrolments of these learners in these courses were before: each pair is looked up, whatever the planner
-- believes.
SELECT s.course, s.cycle, s.learner, s.enrolled_at, s.withdrawn_at, s.withdrawn_by
FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:courses AS int[])) AS course,
             unnest(CAST(:learners AS int[])) AS learner) asked
CROSS JOIN LATERAL (
    SELECT * FROM stints WHERE organisation = asked.organisation AND course = asked.course
      AND learner = asked.learner OFFSET 0) s
