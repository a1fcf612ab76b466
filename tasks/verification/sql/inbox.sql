-- An event in that is kept otherwise than its state says: what was applied keeps no body, what waits names what for (R6, R35).
SELECT 'event in' AS what, CAST(seq AS text) AS id,
       CASE WHEN state = 'applied' THEN 'it is applied, and its body is kept'
            WHEN body IS NULL THEN 'it is ' || state || ', and its body is gone'
            ELSE 'it is ' || state || ', and nothing says why' END AS detail
FROM inbox
WHERE state = 'applied' AND body IS NOT NULL
   OR state IN ('waiting', 'quarantined') AND (body IS NULL OR reason IS NULL)
ORDER BY seq LIMIT :listed
