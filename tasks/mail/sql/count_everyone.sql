-- How many learners of an organisation the gate would let an announcement to everyone pass now, and how many not and why
-- (R16): what `mail_verdict` says of each, and only those are looked at of whom it says no. Learners are numbered
-- densely, so the active are all but those in the index of the others. With :names, it also says for how many of those
-- who would get it a name is missing.
WITH others AS MATERIALIZED (
    SELECT l.standing, count(*) AS n FROM learners l
    WHERE l.organisation = :organisation AND l.standing <> 'active' GROUP BY l.standing
), unaddressed AS MATERIALIZED (
    SELECT count(*) AS n FROM learners l
    WHERE l.organisation = :organisation AND l.standing = 'active' AND coalesce(l.email, '') = ''
), unsubscribing AS MATERIALIZED (
    SELECT count(*) AS n FROM unsubscribed u
    WHERE u.organisation = :organisation AND NOT EXISTS (
        SELECT FROM learners l
        WHERE l.organisation = :organisation AND l.learner = u.learner AND l.standing <> 'active')
      AND NOT EXISTS (
        SELECT FROM learners l
        WHERE l.organisation = :organisation AND l.learner = u.learner AND l.standing = 'active'
          AND coalesce(l.email, '') = '')
), suppressing AS MATERIALIZED (  -- an index of addresses would slow every import down
    SELECT count(*) AS n FROM (
        SELECT l.organisation, l.learner, l.standing, l.email FROM suppressions s
        JOIN learners l ON l.organisation = :organisation AND l.standing = 'active' AND mail_key(l.email) = s.address
        WHERE s.organisation = :organisation OFFSET 0) those
    WHERE mail_verdict('announcement', 'sending', those.standing, those.email, EXISTS (
        SELECT FROM unsubscribed u WHERE u.organisation = those.organisation AND u.learner = those.learner), true)
        = 'suppressed'
), held_back AS (
    SELECT 'inactive' AS verdict, n FROM others WHERE standing = 'inactive'
    UNION ALL SELECT 'no address', n FROM unaddressed
    UNION ALL SELECT 'unsubscribed', n FROM unsubscribing
    UNION ALL SELECT 'suppressed', n FROM suppressing
), nameless AS MATERIALIZED (
    SELECT count(*) FILTER (WHERE no_first_name) AS first_name, count(*) FILTER (WHERE no_last_name) AS last_name,
           count(*) FILTER (WHERE no_first_name AND no_last_name) AS full_name
    FROM (
        SELECT coalesce(l.first_name, '') ~ '^[\x01-\x20\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$' AS no_first_name,
               coalesce(l.last_name, '') ~ '^[\x01-\x20\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$' AS no_last_name
        FROM learners l
        WHERE CAST(:names AS boolean) AND l.organisation = :organisation AND l.standing = 'active'
          AND (ascii(coalesce(l.first_name, '')) NOT BETWEEN 33 AND 126
                   AND coalesce(l.first_name, '') ~ '^[\x01-\x20\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$'
               OR ascii(coalesce(l.last_name, '')) NOT BETWEEN 33 AND 126
                   AND coalesce(l.last_name, '') ~ '^[\x01-\x20\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$')
          AND mail_verdict('announcement', 'sending', l.standing, l.email, EXISTS (
                  SELECT FROM unsubscribed u WHERE u.organisation = l.organisation AND u.learner = l.learner),
              EXISTS (SELECT FROM suppressions s
                      WHERE s.organisation = l.organisation AND s.address = mail_key(l.email))) = 'send') those
)
SELECT 'send' AS verdict,
       CAST(o.learners - coalesce((SELECT sum(n) FROM others), 0)
            - (SELECT sum(n) FROM held_back WHERE verdict <> 'inactive') AS bigint) AS n,
       nameless.first_name, nameless.last_name, nameless.full_name, 0 AS username
FROM organisations o CROSS JOIN nameless WHERE o.organisation = :organisation
UNION ALL
SELECT verdict, n, 0, 0, 0, 0 FROM held_back
ORDER BY verdict
