-- Forget what these enrolments were before.
DELETE FROM stints e
USING (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:courses AS int[])) AS course,
              unnest(CAST(:cycles AS int[])) AS cycle, unnest(CAST(:learners AS int[])) AS learner) new
WHERE e.organisation = new.organisation AND e.course = new.course AND e.cycle = new.cycle AND e.learner = new.learner
