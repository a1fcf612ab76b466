-- Note deletions, and end every membership that began until then, also those that we hear of later (R6, S15).
WITH gone AS (
    INSERT INTO deletions (organisation, learner, occurred_at)
    SELECT :organisation, learner, time
    FROM unnest(CAST(:learners AS int[]), CAST(:times AS timestamptz[])) AS new (learner, time)
    ON CONFLICT DO NOTHING
), forgotten AS (
    UPDATE descriptions d SET said = NULL
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                 unnest(CAST(:times AS timestamptz[])) AS time) gone
    WHERE d.organisation = gone.organisation AND d.learner = gone.learner AND d.occurred_at <= gone.time
      AND d.said IS NOT NULL
)
UPDATE learners l SET deleted_at = greatest(l.deleted_at, gone.time)
FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
             unnest(CAST(:times AS timestamptz[])) AS time) gone
WHERE l.organisation = gone.organisation AND l.learner = gone.learner
