-- The training report: one row for each enrolment (R29, R30). A learner's segments and the segments that hold an
-- enrolment are gathered once for all and merged in by learner; a course, and what requests hold, is looked up once and
-- remembered (OFFSET 0 keeps that lookup from becoming a join, which would lose the order). The notice is asked for row
-- by row: the ledger of mail is far larger than the report. So rows come in order with none of them sorted on disk.
-- Sources are those of the function `enrolment_sources`, for all at once. Times get their form where they are written.
SELECT (SELECT id FROM organisations WHERE organisation = :organisation) AS organisation,
       l.id AS learner, l.username, l.email, l.standing AS learner_status,
       coalesce(membership.segments, '{}') AS segments, c.id AS course, c.title, e.cycle,
       CASE WHEN e.withdrawn_at IS NULL THEN coalesce(
           CASE WHEN c.method = 'everyone' AND e.cycle = 1 THEN ARRAY['everyone'] END
           || requested.sources || linked.sources, '{}') ELSE '{}' END AS sources,
       e.enrolled_at, e.silent, e.activated_at,
       (SELECT d.settled_at FROM deliveries d
        WHERE d.organisation = e.organisation AND d.mailing = e.notice AND d.recipient = e.learner
          AND d.state = 'accepted') AS notified_at,
       e.started_at, e.completed_at, e.result, e.withdrawn_at,
       gives_access(l.standing, e.withdrawn_at, c.on_hold) AS access
FROM learners l
JOIN enrolments e USING (organisation, learner)
CROSS JOIN LATERAL (
    SELECT * FROM courses c WHERE c.organisation = :organisation AND c.course = e.course OFFSET 0
) c
LEFT JOIN (
    SELECT m.learner, array_agg(s.id ORDER BY s.id COLLATE "C") AS segments
    FROM memberships m JOIN segments s USING (organisation, segment)
    WHERE m.organisation = :organisation AND m.member AND s.saved_at IS NOT NULL
    GROUP BY m.learner
) membership ON membership.learner = l.learner
LEFT JOIN (
    SELECT k.learner, k.course, array_agg('segment:' || s.id ORDER BY s.id COLLATE "C") AS sources
    FROM linked k JOIN courses c USING (organisation, course) JOIN segments s USING (organisation, segment)
    WHERE k.organisation = :organisation AND c.method = 'segments' AND s.saved_at IS NOT NULL
    GROUP BY k.learner, k.course
) linked ON linked.learner = e.learner AND linked.course = e.course AND e.cycle = 1
LEFT JOIN LATERAL (
    SELECT array_agg('request:' || f.request ORDER BY f.request COLLATE "C") AS sources FROM fanouts f
    WHERE f.organisation = :organisation AND f.fanout = ANY(e.requests)
) requested ON true
WHERE l.organisation = :organisation AND l.standing = :standing
ORDER BY l.learner, e.course, e.cycle
