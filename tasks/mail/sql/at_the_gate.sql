-- The next pending recipients of a stretch of a mailing, each with the gate's verdict of this moment (R15). Whether the
-- mailing, or all mail, is paused is found out once, ahead: if it were a subquery in an argument of `mail_verdict`, which
-- names it twice, PostgreSQL would call the function for each row. Attempts lie behind OFFSET 0, or each of their months
-- would be looked at for each row.
WITH m AS MATERIALIZED (
    SELECT organisation, mailing, kind, learners,
           CASE WHEN state = 'sending' AND (SELECT paused_at IS NOT NULL FROM mail_control LIMIT 1) THEN 'paused'
                ELSE state END AS state
    FROM mailings WHERE organisation = :organisation AND mailing = :mailing
), judged AS (
    SELECT d.recipient, d.attempts, d.due_at IS NOT NULL AS retried,
           d.attempts > 0 OR d.reason IS NOT NULL AS has_history, m.kind, m.mailing, m.learners,
           coalesce(l.id, 'admin ' || -d.recipient) AS id,
           coalesce(d.address, l.email, '') AS address, coalesce(l.first_name, '') AS first_name,
           coalesce(l.last_name, '') AS last_name, coalesce(l.username, '') AS username,
           coalesce(l.locale, '') AS locale,
           mail_verdict(
               m.kind, m.state, CASE WHEN is_admin(d.recipient) THEN 'active' ELSE l.standing END,
               coalesce(d.address, l.email),
               EXISTS (SELECT FROM unsubscribed u
                       WHERE u.organisation = d.organisation AND u.learner = d.recipient),
               EXISTS (SELECT FROM suppressions s WHERE s.organisation = d.organisation
                       AND s.address = mail_key(coalesce(d.address, l.email)))
           ) AS verdict
    FROM deliveries d
    JOIN m USING (organisation, mailing)
    LEFT JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
    WHERE d.organisation = :organisation AND d.mailing = :mailing AND same_month(d.mailing, :mailing)
      AND d.recipient BETWEEN :low AND :high
      AND d.state = 'pending' AND (d.due_at IS NULL OR d.due_at <= now())
    ORDER BY d.recipient LIMIT :limit
), with_items AS (
    SELECT j.*, CASE
        WHEN j.kind IN ('enrolment', 'digest') THEN ARRAY(
            SELECT c.title FROM enrolments e JOIN courses c USING (organisation, course)
            WHERE e.organisation = :organisation AND e.learner = j.recipient AND e.notice = j.mailing
              AND gives_access('active', e.withdrawn_at, c.on_hold)
            ORDER BY c.title)
        WHEN j.kind = 'password' THEN ARRAY(
            SELECT concat_ws(' ', who.first_name, who.last_name, '(' || coalesce(who.username, who.id) || ')')
            FROM learners who
            WHERE who.organisation = :organisation AND who.learner = ANY(j.learners)
              AND who.standing IN ('active', 'inactive')
            ORDER BY 1)
        ELSE '{}' END AS items
    FROM judged j
)
SELECT recipient, id, attempts, retried,
       CASE WHEN verdict = 'send' AND items = '{}' AND kind IN ('enrolment', 'digest', 'password')
            THEN 'nothing to tell' ELSE verdict END AS verdict,
       address, first_name, last_name, username, locale, items,
       put_off, since, (SELECT coalesce(known_until > now(), false) FROM mail_control) AS look_up
FROM with_items
CROSS JOIN LATERAL (
    SELECT CAST(count(*) AS int) AS put_off, min(attempted_at) AS since
    FROM (
        SELECT attempted_at FROM attempts a
        WHERE a.organisation = :organisation AND a.mailing = :mailing
          AND a.recipient = with_items.recipient AND a.reason IN ('throttled', 'unreachable', 'refused us')
          AND a.attempted_at >= coalesce((
              SELECT max(c.at) FROM mailing_changes c
              WHERE c.organisation = :organisation AND c.mailing = :mailing AND c.move = 'retry'), '-infinity')
        OFFSET 0
    ) a
    WHERE with_items.has_history
) lately
ORDER BY recipient
