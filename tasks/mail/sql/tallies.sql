-- How the deliveries of these mailings stand: as was counted when they had ended, else counted now.
SELECT kept.mailing, tally.state, tally.reason, tally.n
FROM mailings kept
CROSS JOIN LATERAL jsonb_to_recordset(kept.counts) AS tally (state text, reason text, n bigint)
WHERE kept.organisation = :organisation AND kept.mailing = ANY(CAST(:mailings AS bigint[]))
  AND kept.counted_at = kept.finished_at
UNION ALL
SELECT live.mailing, CAST(tally.state AS text), tally.reason, tally.n
FROM mailings live CROSS JOIN LATERAL (
    SELECT d.state, CASE WHEN d.state = 'skipped' THEN d.reason END AS reason, count(*) AS n FROM deliveries d
    WHERE d.organisation = :organisation AND d.mailing = live.mailing
      AND in_months(d.mailing, :lowest, :highest) GROUP BY 1, 2 OFFSET 0) tally
WHERE live.organisation = :organisation AND live.mailing = ANY(CAST(:mailings AS bigint[]))
  AND (live.counted_at = live.finished_at) IS NOT TRUE AND live.state <> 'draft'
ORDER BY 1, 2, 3
