-- Show these enrolments again, which began after all.
WITH back AS (
    DELETE FROM void_enrolments e
    USING (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:courses AS int[])) AS course,
                  unnest(CAST(:cycles AS int[])) AS cycle, unnest(CAST(:learners AS int[])) AS learner) new
    WHERE e.organisation = new.organisation AND e.course = new.course AND e.cycle = new.cycle
      AND e.learner = new.learner
    RETURNING e.*
)
INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, notice, enrolled_at, activated_at,
                        started_at, completed_at, withdrawn_at, withdrawn_by, requests, result, score, review, asked)
SELECT :organisation, course, cycle, learner, silent, fanout, notice, enrolled_at, activated_at, started_at,
       completed_at, withdrawn_at, withdrawn_by, requests, result, score, review, asked
FROM back
