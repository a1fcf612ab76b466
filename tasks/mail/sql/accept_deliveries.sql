-- Write what the server took: what becomes of nearly every mail, in half the time of what may become of any.
UPDATE deliveries d SET state = 'accepted', settled_at = new.at, attempts = d.attempts + 1, due_at = NULL,
    reason = NULL, code = new.code, (reply, address) = (
        SELECT new.reply, CASE WHEN is_admin(d.recipient) THEN d.address ELSE new.address END
        WHERE is_admin(d.recipient) OR EXISTS (
            SELECT FROM learners l WHERE l.organisation = :organisation AND l.learner = d.recipient
              AND l.standing IN ('active', 'inactive')))
FROM (SELECT CAST(:organisation AS int) AS organisation, CAST(:mailing AS bigint) AS mailing, given.*
      FROM unnest(CAST(:recipients AS int[]), CAST(:ats AS timestamptz[]), CAST(:codes AS int[]),
                  CAST(:replies AS text[]), CAST(:addresses AS text[]))
           AS given (recipient, at, code, reply, address)
      OFFSET 0) new
WHERE d.organisation = new.organisation AND d.mailing = new.mailing AND same_month(d.mailing, :mailing)
  AND d.recipient = new.recipient AND d.recipient BETWEEN :low AND :high AND d.state = 'pending'
