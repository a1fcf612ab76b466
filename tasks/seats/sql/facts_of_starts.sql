-- What is known of each of these places, in their order.
SELECT CAST(p.n AS int) AS n, l.learner, c.course, c.cost, c.on_hold,
       l.learner IS NOT NULL AND coalesce(past.active, true) AS active_then, life.ends IS NOT NULL AS ended,
       CASE WHEN e.enrolled_at < coalesce(life.ends, 'infinity') THEN e.enrolled_at END AS enrolled_at,
       e.started_at, e.withdrawn_at, e.withdrawn_by, coalesce(stood.before, false) AS stood_before,
       coalesce(paid.before, false) AS charged, coalesce(life.beaten, false) AS beaten
FROM (SELECT CAST(:organisation AS int) AS organisation, given.*
      FROM unnest(CAST(:learners AS text[]), CAST(:courses AS text[]), CAST(:cycles AS int[]),
                  CAST(:times AS timestamptz[])) WITH ORDINALITY AS given (learner, course, cycle, time, n)
      OFFSET 0) p
LEFT JOIN learners l ON l.organisation = p.organisation AND l.id = p.learner
    AND (l.standing IN ('active', 'inactive') OR l.standing = 'deleted' AND p.time < l.deleted_at)
LEFT JOIN LATERAL (
    SELECT min(d.occurred_at) FILTER (WHERE d.occurred_at > p.time) AS ends,
           max(d.occurred_at) FILTER (WHERE d.occurred_at < p.time) AS began,
           bool_or(d.occurred_at = p.time) AS beaten
    FROM deletions d WHERE d.organisation = p.organisation AND d.learner = l.learner) life
    ON l.deleted_at IS NOT NULL
LEFT JOIN LATERAL status_in_life(p.organisation, l.learner, coalesce(life.began, '-infinity'), p.time) past ON true
LEFT JOIN courses c ON c.organisation = p.organisation AND c.id = p.course
LEFT JOIN enrolments e ON e.organisation = p.organisation AND e.course = c.course AND e.cycle = p.cycle
    AND e.learner = l.learner
LEFT JOIN LATERAL (
    SELECT true AS before FROM stints b
    WHERE b.organisation = p.organisation AND b.course = c.course AND b.cycle = p.cycle
      AND b.learner = l.learner AND b.enrolled_at <= p.time + CAST(:lead AS interval)
      AND b.enrolled_at < coalesce(life.ends, 'infinity') AND b.withdrawn_at > p.time LIMIT 1) stood ON true
LEFT JOIN LATERAL (
    SELECT true AS before FROM consumptions s
    WHERE :unit = 'seat' AND s.organisation = p.organisation AND s.learner = l.learner AND s.unit = 'seat'
      AND in_period(s.period, s.occurred_at, :period, :ends)
    UNION ALL
    SELECT true FROM consumptions s
    WHERE :unit = 'credit' AND s.organisation = p.organisation AND s.learner = l.learner
      AND s.course = c.course AND s.cycle = p.cycle AND s.unit = 'credit'
    LIMIT 1) paid ON true
ORDER BY p.n
