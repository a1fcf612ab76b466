-- Keep the newest completion of each enrolment (S14); of two at the same time the greater, whichever is heard last.
UPDATE enrolments e SET completed_at = new.time, result = new.result, score = new.score
FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
             unnest(CAST(:courses AS int[])) AS course, unnest(CAST(:cycles AS int[])) AS cycle,
             unnest(CAST(:times AS timestamptz[])) AS time,
             unnest(CAST(:results AS text[])) AS result, unnest(CAST(:scores AS float8[])) AS score) new
WHERE e.organisation = new.organisation AND e.course = new.course AND e.cycle = new.cycle
  AND e.learner = new.learner AND (
      e.completed_at IS NULL OR e.completed_at < new.time
      OR e.completed_at = new.time AND (coalesce(e.result, '') COLLATE "C", coalesce(e.score, -1))
                                     < (coalesce(new.result, '') COLLATE "C", coalesce(new.score, -1)))
