-- Write of these enrolments what was told anew. One that begins after it was withdrawn, or after its learner was deleted,
-- is recorded anew: silent or not by the status when it is (S3, S15).
UPDATE enrolments e SET
    silent = CASE
        WHEN e.withdrawn_at <= new.begin OR EXISTS (
            SELECT FROM stints s
            WHERE s.organisation = e.organisation AND s.course = e.course AND s.cycle = e.cycle
              AND s.learner = e.learner AND s.withdrawn_by = 'deletion'
              AND s.withdrawn_at BETWEEN e.enrolled_at AND new.begin)
        THEN (SELECT l.standing <> 'active' FROM learners l
              WHERE l.organisation = e.organisation AND l.learner = e.learner)
        ELSE e.silent
    END,
    enrolled_at = new.begin, withdrawn_at = new.until, withdrawn_by = new.by,
    started_at = new.started, activated_at = new.activated,
    requests = (SELECT array_agg(f.fanout ORDER BY f.fanout) FROM fanouts f
                WHERE f.organisation = e.organisation AND f.fanout = ANY(e.asked)
                  AND f.occurred_at > new.asked_since),
    completed_at = CASE WHEN e.completed_at > new.began THEN e.completed_at END,
    result = CASE WHEN e.completed_at > new.began THEN e.result END,
    score = CASE WHEN e.completed_at > new.began THEN e.score END
FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:courses AS int[])) AS course,
             unnest(CAST(:cycles AS int[])) AS cycle, unnest(CAST(:learners AS int[])) AS learner,
             unnest(CAST(:begins AS timestamptz[])) AS begin, unnest(CAST(:ends AS timestamptz[])) AS until,
             unnest(CAST(:bys AS text[])) AS by, unnest(CAST(:starteds AS timestamptz[])) AS started,
             unnest(CAST(:activateds AS timestamptz[])) AS activated,
             unnest(CAST(:asked_sinces AS timestamptz[])) AS asked_since,
             unnest(CAST(:begans AS timestamptz[])) AS began) new
WHERE e.organisation = new.organisation AND e.course = new.course AND e.cycle = new.cycle
  AND e.learner = new.learner
