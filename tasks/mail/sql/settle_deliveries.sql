-- Write outcomes into the ledger; what settled nothing is kept as an attempt of its own (R18).
UPDATE deliveries d SET state = CAST(new.state AS delivery_state), settled_at = CASE
        WHEN new.state <> 'pending' THEN new.at END,
    attempts = d.attempts + CAST(new.tried AS int), due_at = new.due_at, reason = new.reason,
    code = new.code, (reply, address) = (
        SELECT new.reply, CASE WHEN is_admin(d.recipient) THEN d.address ELSE new.address END
        WHERE is_admin(d.recipient) OR EXISTS (
            SELECT FROM learners l WHERE l.organisation = :organisation AND l.learner = d.recipient
              AND l.standing IN ('active', 'inactive')))
FROM (SELECT CAST(:organisation AS int) AS organisation, CAST(:mailing AS bigint) AS mailing, given.*
      FROM unnest(CAST(:recipients AS int[]), CAST(:states AS text[]), CAST(:ats AS timestamptz[]),
                  CAST(:reasons AS text[]), CAST(:codes AS int[]), CAST(:replies AS text[]),
                  CAST(:trieds AS boolean[]), CAST(:dues AS timestamptz[]), CAST(:addresses AS text[]))
           AS given (recipient, state, at, reason, code, reply, tried, due_at, address)
      OFFSET 0) new
WHERE d.organisation = new.organisation AND d.mailing = new.mailing AND same_month(d.mailing, :mailing)
  AND d.recipient = new.recipient AND d.recipient BETWEEN :low AND :high AND d.state = 'pending' AND (d.due_at IS NULL OR new.due_at IS NULL)
