-- Write of the uncertain deliveries of a mailing, of these learners or all, that they were sent or were not (R19); what
-- was known of each is kept as an attempt. How many.
WITH uncertain AS MATERIALIZED (
    SELECT d.recipient, d.settled_at, d.code, d.reason, d.reply, d.address
    FROM deliveries d JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
    WHERE d.organisation = :organisation AND d.mailing = :mailing AND same_month(d.mailing, :mailing)
      AND d.state = 'uncertain'
      AND (CAST(:learners AS text[]) IS NULL OR l.id = ANY(CAST(:learners AS text[])))
    FOR UPDATE OF d
), kept AS (
    INSERT INTO attempts (organisation, mailing, recipient, attempted_at, code, reason, reply, address)
    SELECT :organisation, :mailing, recipient, settled_at, code, reason, reply, address FROM uncertain
    ON CONFLICT DO NOTHING
), settled AS (
    UPDATE deliveries d SET
        state = CASE WHEN :sent THEN CAST('accepted' AS delivery_state) ELSE 'failed' END,
        reason = :reason, settled_at = now(), code = NULL, reply = NULL
    FROM uncertain u
    WHERE d.organisation = :organisation AND d.mailing = :mailing AND same_month(d.mailing, :mailing)
      AND d.recipient = u.recipient
    RETURNING d.recipient
)
SELECT count(*) FROM settled
