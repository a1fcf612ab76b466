-- Whether a learner has access to a course, and what each condition says (R3), by ids alone: one row if the
-- organisation is there.
SELECT l.learner IS NOT NULL AS learner_known, c.course IS NOT NULL AS course_known,
       coalesce(a.granted, false) AS access,
       CASE WHEN coalesce(a.granted, false) THEN ARRAY['active', 'enrolled', 'not withdrawn', 'not on hold']
            ELSE array_remove(ARRAY[CASE WHEN l.standing <> 'active' THEN 'active' END,
                                    CASE WHEN a.course IS NULL THEN 'enrolled' END,
                                    CASE WHEN NOT a.not_withdrawn THEN 'not withdrawn' END,
                                    CASE WHEN c.on_hold THEN 'not on hold' END], NULL) END AS because
FROM organisations o
LEFT JOIN learners l
       ON l.organisation = o.organisation AND l.id = :learner AND l.standing IN ('active', 'inactive')
LEFT JOIN courses c ON c.organisation = o.organisation AND c.id = :course
LEFT JOIN LATERAL (
    SELECT a.* FROM access a
    WHERE a.organisation = o.organisation AND a.course = c.course AND a.learner = l.learner
    ORDER BY a.granted DESC, a.cycle DESC LIMIT 1) a ON true
WHERE o.id = :of
