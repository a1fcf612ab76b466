-- Delete the deliveries that lie in no month, of mailings that ended so many days ago; the ledgers are found by their
-- index, one by one.
WITH RECURSIVE ledgers AS (
    (SELECT organisation, mailing FROM deliveries_other ORDER BY organisation, mailing LIMIT 1)
    UNION ALL
    SELECT next.* FROM ledgers l CROSS JOIN LATERAL (
        SELECT d.organisation, d.mailing FROM deliveries_other d
        WHERE (d.organisation, d.mailing) > (l.organisation, l.mailing)
        ORDER BY d.organisation, d.mailing LIMIT 1) next
), old AS MATERIALIZED (
    SELECT m.organisation, m.mailing FROM ledgers JOIN mailings m USING (organisation, mailing)
    WHERE m.finished_at <= now() - make_interval(days => :days)
      AND (m.kind <> 'announcement' OR m.counted_at = m.finished_at)
    LIMIT :most FOR UPDATE OF m SKIP LOCKED
)
DELETE FROM deliveries d USING old WHERE d.organisation = old.organisation AND d.mailing = old.mailing
