-- Write down who is erased, before they are, and by what to know them; and that every place is to be looked at.
INSERT INTO erasures (organisation, learner, id, until, digests, names)
SELECT :organisation, l.learner, gone.id, gone.until,
       ARRAY(SELECT known FROM (
                 SELECT unnest(ARRAY[digest_of(l.email), digest_of(l.username)]) AS known
                 UNION
                 SELECT digest FROM former_addresses f
                 WHERE f.organisation = :organisation AND f.learner = l.learner) all_
             WHERE known <> digest_of(gone.id)),
       array_remove(ARRAY[digest_of(nullif(l.first_name, '')), digest_of(nullif(l.last_name, ''))], NULL)
FROM unnest(CAST(:ids AS text[]), CAST(:untils AS timestamptz[])) AS gone (id, until)
LEFT JOIN learners l ON l.organisation = :organisation AND l.id = gone.id
