-- Store what could not be applied, with its reason; what waits for something, waits waiting from its arrival (R6).
WITH changed AS (
    UPDATE inbox SET reason = new.reason, detail = new.detail, awaits = new.awaits,
        awaits_organisation = new.awaits_organisation, awaits_id = new.awaits_id,
        awaits_course = new.awaits_course, awaits_cycle = new.awaits_cycle,
        awaits_learner = new.awaits_learner, body = new.body, until = arrived_at + :waiting,
        state = CASE WHEN state <> 'quarantined' AND new.waits THEN 'waiting' ELSE 'quarantined' END
    FROM unnest(CAST(:seqs AS bigint[]), CAST(:reasons AS text[]), CAST(:details AS text[]),
                CAST(:kinds AS text[]), CAST(:organisations AS int[]), CAST(:ids AS text[]),
                CAST(:courses AS int[]), CAST(:cycles AS int[]), CAST(:learners AS int[]),
                CAST(:waits AS boolean[]), CAST(:bodies AS bytea[]))
         AS new (seq, reason, detail, awaits, awaits_organisation, awaits_id, awaits_course, awaits_cycle,
                 awaits_learner, waits, body)
    WHERE inbox.seq = new.seq AND (state <> 'quarantined' OR (
        inbox.awaits, inbox.awaits_organisation, inbox.awaits_id, inbox.awaits_course, inbox.awaits_cycle,
        inbox.awaits_learner) IS DISTINCT FROM (
        new.awaits, new.awaits_organisation, new.awaits_id, new.awaits_course, new.awaits_cycle,
        new.awaits_learner))
    RETURNING inbox.seq, state
)
SELECT seq FROM changed WHERE state = 'quarantined'
