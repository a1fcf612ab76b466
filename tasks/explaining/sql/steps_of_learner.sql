-- What happened to a learner, and what came of it: of one course, or of all; each row is what `step` takes.
WITH mine AS (
    SELECT e.*, c.id AS course_id, c.on_hold, f.cause, f.request, coalesce(rules.method, c.method) AS method
    FROM enrolments e
    JOIN courses c USING (organisation, course)
    LEFT JOIN fanouts f USING (organisation, fanout)
    LEFT JOIN LATERAL (
        SELECT r.method FROM course_rules r
        WHERE r.organisation = e.organisation AND r.course = e.course AND r.occurred_at <= e.enrolled_at
        ORDER BY r.occurred_at DESC LIMIT 1
    ) rules ON true
    WHERE e.organisation = :organisation AND e.learner = :learner
      AND (CAST(:course AS text) IS NULL OR c.id = :course)
), began AS (
    SELECT s.*, c.id AS course_id FROM starts s JOIN courses c USING (organisation, course)
    WHERE s.organisation = :organisation AND s.learner = :learner
      AND (CAST(:course AS text) IS NULL OR c.id = :course)
), paid AS (
    SELECT p.*, c.id AS course_id FROM consumptions p JOIN courses c USING (organisation, course)
    WHERE p.organisation = :organisation AND p.learner = :learner
      AND (CAST(:course AS text) IS NULL OR c.id = :course)
), mails AS (
    SELECT d.*, m.kind, m.id, m.launched_at, m.created_at, b.kind AS bounced, b.at AS bounced_at,
           (SELECT e.course_id FROM mine e WHERE e.notice = d.mailing LIMIT 1) AS course_id
    FROM deliveries d
    JOIN mailings m USING (organisation, mailing)
    LEFT JOIN bounces b USING (organisation, mailing, recipient)
    WHERE d.organisation = :organisation AND d.recipient = :learner
      AND (CAST(:course AS text) IS NULL OR EXISTS (SELECT FROM mine e WHERE e.notice = d.mailing))
)
SELECT occurred_at AS at, CASE WHEN active THEN 'became active' ELSE 'became inactive' END AS what,
       CAST(NULL AS text) AS course, CAST(NULL AS text) AS subject, cause AS detail
FROM status_changes
WHERE organisation = :organisation AND learner = :learner
  AND occurred_at > life_began(:organisation, :learner, 'infinity')
UNION ALL
SELECT since, 'unsubscribed', NULL, NULL, NULL FROM unsubscribed
WHERE organisation = :organisation AND learner = :learner
UNION ALL
SELECT s.since, 'suppressed', NULL, NULL, s.reason FROM suppressions s
JOIN learners l ON l.organisation = s.organisation AND mail_key(l.email) = s.address
WHERE s.organisation = :organisation AND l.organisation = :organisation AND l.learner = :learner
UNION ALL
SELECT s.enrolled_at, 'stood before', c.id, NULL, NULL FROM stints s JOIN courses c USING (organisation, course)
WHERE s.organisation = :organisation AND s.learner = :learner AND (CAST(:course AS text) IS NULL OR c.id = :course)
UNION ALL
SELECT s.withdrawn_at, CASE s.withdrawn_by WHEN 'name' THEN 'withdrawn by name' ELSE 'withdrawn by rule' END, c.id,
       NULL, NULL
FROM stints s JOIN courses c USING (organisation, course)
WHERE s.organisation = :organisation AND s.learner = :learner AND (CAST(:course AS text) IS NULL OR c.id = :course)
UNION ALL
SELECT enrolled_at, CASE WHEN silent THEN 'enrolled silently by ' ELSE 'enrolled by ' END
       || CASE WHEN cause = 'request' OR request IS NOT NULL OR method = 'manual' THEN 'request'
               WHEN method = 'everyone' THEN 'everyone' ELSE 'segments' END,
       course_id, request, cause
FROM mine
UNION ALL
SELECT enrolled_at, CASE WHEN silent THEN 'not told: inactive' ELSE 'not told' END, course_id, NULL, NULL
FROM mine WHERE notice IS NULL
UNION ALL
SELECT activated_at, 'access opened', course_id, NULL, NULL FROM mine WHERE activated_at > enrolled_at
UNION ALL
SELECT completed_at, 'completed', course_id, NULL, result FROM mine WHERE completed_at IS NOT NULL
UNION ALL
SELECT withdrawn_at, CASE withdrawn_by WHEN 'name' THEN 'withdrawn by name' ELSE 'withdrawn by rule' END, course_id,
       NULL, NULL
FROM mine WHERE withdrawn_at IS NOT NULL
UNION ALL
SELECT occurred_at, CASE WHEN released THEN 'start released' ELSE 'started' END, course_id, NULL, NULL FROM began
UNION ALL
SELECT b.occurred_at, 'cost nothing', b.course_id, NULL, NULL FROM began b
WHERE NOT EXISTS (SELECT FROM paid p
                  WHERE p.course = b.course AND p.cycle = b.cycle AND p.occurred_at = b.occurred_at)
UNION ALL
SELECT occurred_at, CASE unit WHEN 'seat' THEN 'charged a seat' ELSE 'charged a credit' END, course_id,
       CAST(consumption AS text), event
FROM paid
UNION ALL
SELECT recorded_at, 'overdrawn', course_id, CAST(consumption AS text), NULL FROM paid WHERE overdrawn
UNION ALL
SELECT r.flagged_at, 'flagged ' || r.code, p.course_id, CAST(p.consumption AS text), r.event
FROM reviews r JOIN paid p USING (organisation, consumption) WHERE r.organisation = :organisation
UNION ALL
SELECT s.settled_at, 'reviewed', p.course_id, CAST(p.consumption AS text), s.why
FROM settled_reviews s JOIN paid p USING (organisation, consumption) WHERE s.organisation = :organisation
UNION ALL
SELECT coalesce(settled_at, CASE WHEN state <> 'pending' THEN launched_at END), CASE
           WHEN state = 'accepted' THEN 'mail sent'
           WHEN state = 'pending' THEN 'mail pending'
           WHEN state = 'failed' THEN 'mail failed'
           WHEN state = 'uncertain' THEN 'mail uncertain'
           WHEN reason = 'inactive' AND kind = 'announcement'
                AND NOT status_at(:organisation, :learner, launched_at) THEN 'inactive at launch'
           WHEN reason = 'inactive' THEN 'inactive when sent'
           WHEN state = 'cancelled' THEN 'no mail: cancelled'
           ELSE 'no mail: ' || reason END,
       course_id, CASE kind WHEN 'announcement' THEN id END, concat_ws(', ', kind, nullif(reason, 'inactive'))
FROM mails
UNION ALL
SELECT m.finished_at, 'mail no longer kept', e.course_id, NULL, m.kind
FROM mine e JOIN mailings m ON m.organisation = e.organisation AND m.mailing = e.notice
WHERE m.organisation = :organisation AND m.finished_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM mails d WHERE d.mailing = e.notice)
UNION ALL
SELECT bounced_at, CASE CAST(bounced AS text) WHEN 'complaint' THEN 'complained' ELSE 'mail bounced' END, course_id,
       CASE kind WHEN 'announcement' THEN id END, CAST(bounced AS text)
FROM mails WHERE bounced IS NOT NULL
