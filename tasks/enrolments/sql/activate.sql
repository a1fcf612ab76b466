-- Open to learners who are active again everything they are enrolled in, silent enrolments included (R4); what became
-- available to them now, courses on hold left out (S7).
WITH opened AS (
    UPDATE enrolments e SET activated_at = new.time
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                 unnest(CAST(:times AS timestamptz[])) AS time) new
    WHERE e.organisation = new.organisation AND e.learner = new.learner
      AND coalesce(e.activated_at, 'infinity') = 'infinity' AND e.withdrawn_at IS NULL
    RETURNING e.organisation, e.learner, e.course, e.cycle
)
SELECT opened.learner, opened.course, opened.cycle FROM opened
JOIN courses c ON c.organisation = opened.organisation AND c.course = opened.course AND NOT c.on_hold
ORDER BY learner, course, cycle
