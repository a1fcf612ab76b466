-- How many would be told by mail of what they are enrolled in, where they are to be told, or, where there are digests,
-- have access to again: learners who are new, or active again, and whom mail may be sent to.
WITH ruled AS (
    SELECT course, method FROM courses
    WHERE organisation = :organisation AND NOT on_hold AND method <> 'manual'
), told AS (
    SELECT learner, email, standing = 'inactive' AS returns FROM import_rows
    WHERE reason IS NULL AND active IS NOT FALSE AND email IS NOT NULL
      AND (:notify AND (learner IS NULL OR standing NOT IN ('active', 'inactive'))
           OR :digests AND standing = 'inactive' AND active)
)
SELECT count(*) FROM told t
WHERE mail_verdict('enrolment', 'sending', 'active', t.email, false,
          (SELECT EXISTS (SELECT FROM suppressions WHERE organisation = :organisation)) AND EXISTS (
          SELECT FROM suppressions s
          WHERE s.organisation = :organisation AND s.address = mail_key(t.email))) = 'send'
  AND CASE WHEN t.learner IS NULL THEN (SELECT EXISTS (SELECT FROM ruled WHERE method = 'everyone'))
      WHEN t.returns THEN EXISTS (
          SELECT FROM enrolments e JOIN courses c USING (organisation, course)
          WHERE e.organisation = :organisation AND e.learner = t.learner AND e.activated_at IS NULL
            AND gives_access('active', e.withdrawn_at, c.on_hold))
      ELSE EXISTS (
          SELECT FROM ruled c
          WHERE (c.method = 'everyone' OR EXISTS (
                      SELECT FROM linked k
                      WHERE k.organisation = :organisation AND k.course = c.course AND k.learner = t.learner))
              AND NOT EXISTS (
                    SELECT FROM withdrawn_by_name(1) w
                    WHERE w.organisation = :organisation AND w.course = c.course AND w.learner = t.learner))
      END
