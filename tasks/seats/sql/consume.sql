-- Write charges into the ledger and add them to the balance; the entry of each learner charged.
WITH written AS (
    INSERT INTO consumptions (organisation, learner, course, cycle, unit, amount, period, overdrawn,
                              occurred_at, event)
    SELECT :organisation, learner, course, cycle, :unit, amount, :period, overdrawn, occurred_at, event
    FROM unnest(CAST(:learners AS int[]), CAST(:courses AS int[]), CAST(:cycles AS int[]),
                CAST(:amounts AS bigint[]), CAST(:overdrawns AS boolean[]), CAST(:times AS timestamptz[]),
                CAST(:events AS text[]))
         WITH ORDINALITY AS new (learner, course, cycle, amount, overdrawn, occurred_at, event, n)
    ORDER BY n
    ON CONFLICT DO NOTHING
    RETURNING learner, consumption, amount
), added AS (
    UPDATE balances SET used = used + (SELECT coalesce(sum(amount), 0) FROM written)
    WHERE organisation = :organisation AND unit = :unit AND period = :period
)
SELECT learner, consumption FROM written
