-- By what a learner is known in texts, as an erasure writes it down; nothing of whom was erased.
SELECT 0 AS erasure, l.learner, l.id, CAST('9999-12-31' AS timestamptz) AS until, now() AS at,
       ARRAY(SELECT known FROM (
                 SELECT unnest(ARRAY[digest_of(l.email), digest_of(l.username)]) AS known
                 UNION
                 SELECT digest FROM former_addresses f
                 WHERE f.organisation = :organisation AND f.learner = l.learner) all_
             WHERE known IS NOT NULL) AS digests,
       array_remove(ARRAY[digest_of(nullif(l.first_name, '')), digest_of(nullif(l.last_name, ''))], NULL) AS names,
       CAST(NULL AS timestamptz) AS looked_at
FROM learners l WHERE l.organisation = :organisation AND l.learner = :learner
