-- The mailings of every organisation that are not at their end, from behind a place, with how much work is left of each.
SELECT m.organisation AS place, m.mailing AS number, o.id AS organisation, m.kind, m.id AS mailing, m.state,
       coalesce(m.launched_at, m.created_at) AS since,
       (SELECT count(*) FROM work w WHERE w.organisation = m.organisation AND w.subject = m.mailing
          AND w.actor IN ('mail.deliver', 'announcements.survey', 'announcements.audience',
                          'announcements.cancel')) AS pieces
FROM (
    SELECT * FROM mailings WHERE state IN ('sending', 'cancelled') AND finished_at IS NULL
    UNION ALL
    SELECT * FROM mailings WHERE kind = 'announcement' AND state = 'paused'
) m JOIN organisations o USING (organisation)
WHERE (m.organisation, m.mailing) > (:organisation_before, :mailing_before)
ORDER BY m.organisation, m.mailing LIMIT :limit
