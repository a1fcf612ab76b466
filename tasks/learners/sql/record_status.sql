-- Add to the history of status. Of two that claim the same version and time, inactive holds: the safe one.
INSERT INTO status_changes AS known (organisation, learner, version, occurred_at, active, cause)
SELECT :organisation, learner, version, occurred_at, active, cause
FROM unnest(CAST(:learners AS int[]), CAST(:versions AS bigint[]), CAST(:times AS timestamptz[]),
            CAST(:actives AS boolean[]), CAST(:causes AS text[]))
     AS new (learner, version, occurred_at, active, cause)
ON CONFLICT (organisation, learner, version, occurred_at)
DO UPDATE SET active = excluded.active, cause = excluded.cause
WHERE (excluded.active, excluded.cause COLLATE "C") < (known.active, known.cause COLLATE "C")
