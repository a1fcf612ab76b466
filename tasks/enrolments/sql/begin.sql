-- Begin enrolments at these places: silent or not by the status when it is recorded (S3).
INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at)
SELECT :organisation, new.course, new.cycle, new.learner, l.standing <> 'active', 0, now()
FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:courses AS int[])) AS course,
             unnest(CAST(:cycles AS int[])) AS cycle, unnest(CAST(:learners AS int[])) AS learner) new
JOIN learners l ON l.organisation = new.organisation AND l.learner = new.learner
