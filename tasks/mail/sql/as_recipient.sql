-- A learner, by their number, as what a message is made of.
SELECT l.learner AS recipient, l.id, 0 AS attempts, false AS retried, 'send' AS verdict,
       coalesce(l.email, '') AS address, coalesce(l.first_name, '') AS first_name,
       coalesce(l.last_name, '') AS last_name, coalesce(l.username, '') AS username, coalesce(l.locale, '') AS locale,
       CAST('{}' AS text[]) AS items
FROM learners l WHERE l.organisation = :organisation AND l.standing IN ('active', 'inactive')
  AND l.learner = :learner
