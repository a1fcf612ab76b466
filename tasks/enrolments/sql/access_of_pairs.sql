-- The same as access_of for every pair of these learners and courses of an organisation, if it is there.
SELECT asked.learner, wanted.course, coalesce(a.granted, false) AS access,
       CASE WHEN coalesce(a.granted, false) THEN ARRAY['active', 'enrolled', 'not withdrawn', 'not on hold']
            ELSE array_remove(ARRAY[CASE WHEN l.learner IS NULL OR c.course IS NULL THEN 'known' END,
                                    CASE WHEN l.standing <> 'active' THEN 'active' END,
                                    CASE WHEN l.learner IS NOT NULL AND c.course IS NOT NULL AND a.course IS NULL
                                         THEN 'enrolled' END,
                                    CASE WHEN NOT a.not_withdrawn THEN 'not withdrawn' END,
                                    CASE WHEN c.on_hold THEN 'not on hold' END], NULL) END AS because
FROM organisations o
CROSS JOIN unnest(CAST(:learners AS text[])) AS asked (learner)
CROSS JOIN unnest(CAST(:courses AS text[])) AS wanted (course)
LEFT JOIN learners l
       ON l.organisation = o.organisation AND l.id = asked.learner AND l.standing IN ('active', 'inactive')
LEFT JOIN courses c ON c.organisation = o.organisation AND c.id = wanted.course
LEFT JOIN LATERAL (
    SELECT a.* FROM access a
    WHERE a.organisation = o.organisation AND a.course = c.course AND a.learner = l.learner
    ORDER BY a.granted DESC, a.cycle DESC LIMIT 1) a ON true
WHERE o.id = :of
