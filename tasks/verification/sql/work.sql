-- Work that nobody will ever come back to, or that is about nothing: leases, holds and subjects (R33).
SELECT 'work' AS what, CAST(w.work AS text) AS id,
       CASE WHEN (w.state = 'held') <> (w.due_at = 'infinity') THEN
                'it is ' || w.state || ', and due at ' || w.due_at || ': held work alone is due never'
            WHEN w.state = 'running' AND w.fence = 0 THEN 'it is running, and nobody has begun it'
            WHEN w.state IN ('offered', 'running') AND w.due_at > now() + CAST(:longest AS interval) THEN
                'it is ' || w.state || ' until ' || w.due_at || ': no lease is so long'
            ELSE w.actor || ' is about number ' || w.subject || ', which is not there' END AS detail
FROM work w
WHERE w.organisation = :organisation
  AND ((w.state = 'held') <> (w.due_at = 'infinity') OR w.state = 'running' AND w.fence = 0
       OR w.state IN ('offered', 'running') AND w.due_at > now() + CAST(:longest AS interval)
       OR w.actor IN ('mail.deliver', 'announcements.survey', 'announcements.audience', 'announcements.launch',
                      'announcements.cancel')
          AND NOT EXISTS (SELECT FROM mailings m WHERE m.organisation = w.organisation AND m.mailing = w.subject)
       OR w.actor IN ('enrolments.survey', 'enrolments.chunk')
          AND NOT EXISTS (SELECT FROM fanouts f WHERE f.organisation = w.organisation AND f.fanout = w.subject))
ORDER BY w.work LIMIT :listed
