-- Where their usernames were published; None where some of it may be on its way.
WITH told AS (
    SELECT o.organisation, o.seq, o.position
    FROM unnest(CAST(:ids AS text[]), CAST(:ats AS timestamptz[])) AS gone (id, at)
    JOIN outbox o ON o.organisation = :organisation AND o.type = 'rollcall.learner.password_void'
      AND o.data ->> 'learner' = gone.id AND o.time <= gone.at
)
SELECT position FROM told
UNION ALL
SELECT r.position FROM told JOIN replays r USING (organisation, seq)
