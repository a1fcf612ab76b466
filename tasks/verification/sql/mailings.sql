-- A mailing that says it has ended, and has not; one that ended otherwise than it says; one with recipients before it was launched (R18, R20).
WITH counted AS (
    SELECT m.mailing, m.id, m.kind, m.state, m.launched_at, m.finished_at, count(d.recipient) AS selected,
           count(*) FILTER (WHERE d.state = 'pending') AS pending, count(*) FILTER (WHERE d.state = 'failed') AS failed
    FROM mailings m LEFT JOIN deliveries d ON d.organisation = m.organisation AND d.mailing = m.mailing
    WHERE m.organisation = :organisation
    GROUP BY m.mailing, m.id, m.kind, m.state, m.launched_at, m.finished_at
)
SELECT 'mailing' AS what, mailing || ' ' || id AS id,
       CASE WHEN state IN ('draft', 'scheduled', 'late') THEN 'it is ' || state || ', and has ' || selected || ' recipients'
            WHEN pending > 0 THEN 'it is ' || state || ', and ' || pending || ' recipients are pending'
            WHEN finished_at IS NULL THEN 'it is ' || state || ', and it is not known since when'
            ELSE 'it is finished with failures, and nothing failed' END AS detail
FROM counted
WHERE selected > 0 AND state IN ('draft', 'scheduled', 'late')
   OR (state LIKE 'finished%' OR state = 'cancelled' AND finished_at IS NOT NULL) AND pending > 0
   OR state LIKE 'finished%' AND finished_at IS NULL
ORDER BY mailing LIMIT :listed
