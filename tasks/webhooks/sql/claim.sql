-- Be the only one to serve these webhooks, which are due and have something to be sent, for a lease; of an
-- organisation, no more than so many with those of its that are served already (R31).
WITH waiting AS (
    SELECT organisation, id,
           row_number() OVER (PARTITION BY organisation ORDER BY due_at) + coalesce(n, 0) AS nth
    FROM webhooks w CROSS JOIN publication LEFT JOIN
         unnest(CAST(:organisations AS int[]), CAST(:counts AS int[])) AS served (organisation, n)
         USING (organisation)
    WHERE state = 'enabled' AND due_at <= now() AND position < ordered AND (lost > 0) = :suspects
      AND (w.organisation = 0 OR EXISTS (SELECT FROM organisations o WHERE o.organisation = w.organisation))
), due AS (
    SELECT w.organisation, w.id FROM webhooks w JOIN waiting USING (organisation, id)
    WHERE nth <= :most_of_one AND w.state = 'enabled' AND w.due_at <= now()
    ORDER BY w.lost, w.due_at LIMIT :limit FOR UPDATE OF w SKIP LOCKED
)
UPDATE webhooks w SET fence = fence + 1, due_at = now() + :lease, lost = lost + 1 FROM due d
WHERE w.organisation = d.organisation AND w.id = d.id
RETURNING w.organisation, w.id, url, types, keys_now(w) AS keys, position, fence, failures, failing_since,
          lost
