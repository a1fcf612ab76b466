-- Keep when learners were described by what does not hold; what it said only where it happened after what holds, and a
-- deletion in between could still make it hold (R6, S15).
WITH heard AS (
    UPDATE learners l SET version = new.version
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                 unnest(CAST(:versions AS bigint[])) AS version) new
    WHERE l.organisation = new.organisation AND l.learner = new.learner AND l.version < new.version
)
INSERT INTO descriptions AS known (organisation, learner, occurred_at, version, said)
SELECT :organisation, l.learner, new.time, new.version, CASE
    WHEN new.time > l.saved_at AND new.time > coalesce(l.deleted_at, '-infinity') THEN new.said END
FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
             unnest(CAST(:versions AS bigint[])) AS version, unnest(CAST(:times AS timestamptz[])) AS time,
             CAST(unnest(CAST(:saids AS text[])) AS json) AS said) new
JOIN learners l ON l.organisation = new.organisation AND l.learner = new.learner
ON CONFLICT (organisation, learner, occurred_at, version) DO UPDATE SET said = excluded.said
WHERE CAST(excluded.said AS text) COLLATE "C" > coalesce(CAST(known.said AS text), '') COLLATE "C"
