-- What waits though what it waits for is known, but so much at most, by number and octets, of what arrived after a
-- number.
WITH found AS (
    SELECT i.seq, i.awaits, i.body FROM inbox i
    WHERE i.awaits_organisation = :organisation AND i.awaits_id IS NOT NULL AND i.seq > :after
      AND CASE i.awaits
        WHEN 'learner' THEN EXISTS (
            SELECT FROM learners l
            WHERE l.organisation = :organisation AND l.id = i.awaits_id
              AND l.standing IN ('active', 'inactive'))
        WHEN 'course' THEN EXISTS (
            SELECT FROM courses c WHERE c.organisation = :organisation AND c.id = i.awaits_id)
        WHEN 'segment' THEN EXISTS (
            SELECT FROM segments s
            WHERE s.organisation = :organisation AND s.id = i.awaits_id AND s.saved_at IS NOT NULL) END
    UNION ALL
    SELECT i.seq, i.awaits, i.body FROM inbox i
    WHERE i.awaits_organisation = :organisation AND i.awaits = 'enrolment' AND i.awaits_learner IS NOT NULL
      AND i.seq > :after AND EXISTS (SELECT FROM (
        SELECT organisation, course, cycle, learner FROM enrolments
        UNION ALL SELECT organisation, course, cycle, learner FROM stints) e
    WHERE e.organisation = i.awaits_organisation AND e.course = i.awaits_course
      AND e.cycle = i.awaits_cycle AND e.learner = i.awaits_learner)
    UNION ALL
    SELECT i.seq, i.awaits, i.body FROM inbox i
    WHERE i.awaits_organisation = 0 AND i.awaits = 'organisation' AND i.awaits_id = :id AND i.seq > :after
)
SELECT seq, awaits, body, found FROM (
    SELECT seq, awaits, body, count(*) OVER () AS found,
           sum(octet_length(body)) OVER (ORDER BY seq) - octet_length(body) AS before
    FROM (SELECT seq, awaits, body FROM found ORDER BY seq LIMIT :most) AS several) page
WHERE before < :octets ORDER BY seq
