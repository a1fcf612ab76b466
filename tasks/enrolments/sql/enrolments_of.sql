-- A learner's enrolments, each with what stands between them and access (R3).
SELECT c.id AS course, c.title, e.cycle,
       CASE WHEN e.withdrawn_at IS NULL THEN enrolment_sources(e, c) ELSE '{}' END AS sources,
       e.enrolled_at, e.silent, e.activated_at, d.settled_at AS notified_at, e.started_at, e.completed_at,
       e.result, e.withdrawn_at, a.granted AS access,
       array_remove(ARRAY[CASE WHEN NOT a.active THEN 'active' END,
                          CASE WHEN NOT a.not_withdrawn THEN 'not withdrawn' END,
                          CASE WHEN NOT a.not_on_hold THEN 'not on hold' END], NULL) AS missing
FROM enrolments e
JOIN access a USING (organisation, learner, course, cycle)
JOIN courses c USING (organisation, course)
LEFT JOIN deliveries d ON d.organisation = e.organisation AND d.mailing = e.notice
    AND d.recipient = e.learner AND d.state = 'accepted'
WHERE e.organisation = :organisation AND e.learner = :learner
ORDER BY c.id, e.cycle
