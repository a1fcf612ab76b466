-- A delivery that is settled without a moment, pending with one, skipped or failed without a reason, or to an admin without an address (R18).
SELECT 'delivery' AS what, mailing || ' ' || recipient AS id,
       CASE WHEN state = 'pending' THEN 'it is pending, and was settled at ' || rfc3339(settled_at)
            WHEN settled_at IS NULL THEN 'it is ' || state || ', and it is not known since when'
            ELSE 'it is ' || state || ', and nothing says why' END AS detail
FROM deliveries
WHERE organisation = :organisation
  AND ((state = 'pending') <> (settled_at IS NULL) OR state IN ('skipped', 'failed', 'uncertain') AND reason IS NULL)
ORDER BY mailing, recipient LIMIT :listed
