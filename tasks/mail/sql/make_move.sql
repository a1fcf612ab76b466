-- Move a mailing on as the table of moves has it, if it still stands as expected: of two that try, one succeeds.
WITH moved AS (
    UPDATE mailings SET state = :state,
        launched_at = CASE WHEN :state = 'sending' THEN coalesce(launched_at, now()) ELSE launched_at END,
        finished_at = CASE WHEN :state IN ('finished', 'finished with failures') THEN now() END
    WHERE organisation = :organisation AND mailing = :mailing AND state = :expected
    RETURNING organisation, mailing, kind
), logged AS (
    INSERT INTO mailing_changes (organisation, mailing, move, before, after, by, why)
    SELECT organisation, mailing, :move, :expected, :state, :by, :why FROM moved WHERE kind = 'announcement'
)
SELECT CAST(:state AS text) FROM moved
