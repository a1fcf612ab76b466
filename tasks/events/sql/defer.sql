-- Store what could not be applied, with its reason; what waits for something, waits waiting from its arrival (R6).
WITH changed AS (
    INSERT INTO inbox (seq, source, id, type, organisation, reason, detail, awaits, awaits_organisation, awaits_id,
                       awaits_course, awaits_cycle, awaits_learner, body, until, state)
    SELECT seq, source, id, type, whose, reason, detail, awaits, awaits_organisation, awaits_id, awaits_course,
           awaits_cycle, awaits_learner, body, now() + :waiting, CASE WHEN waits THEN 'waiting' ELSE 'quarantined' END
    FROM unnest(CAST(:seqs AS bigint[]), CAST(:sources AS text[]), CAST(:names AS text[]), CAST(:types AS text[]),
                CAST(:whose AS text[]), CAST(:reasons AS text[]), CAST(:details AS text[]),
                CAST(:kinds AS text[]), CAST(:organisations AS int[]), CAST(:ids AS text[]),
                CAST(:courses AS int[]), CAST(:cycles AS int[]), CAST(:learners AS int[]),
                CAST(:waits AS boolean[]), CAST(:bodies AS bytea[]))
         AS new (seq, source, id, type, whose, reason, detail, awaits, awaits_organisation, awaits_id, awaits_course,
                 awaits_cycle, awaits_learner, waits, body)
    ON CONFLICT (seq) DO UPDATE SET
        reason = excluded.reason, detail = excluded.detail, awaits = excluded.awaits,
        awaits_organisation = excluded.awaits_organisation, awaits_id = excluded.awaits_id,
        awaits_course = excluded.awaits_course, awaits_cycle = excluded.awaits_cycle,
        awaits_learner = excluded.awaits_learner, body = excluded.body, until = inbox.arrived_at + :waiting,
        state = CASE WHEN inbox.state <> 'quarantined' THEN excluded.state ELSE 'quarantined' END
    WHERE inbox.state <> 'quarantined' OR (
        inbox.awaits, inbox.awaits_organisation, inbox.awaits_id, inbox.awaits_course, inbox.awaits_cycle,
        inbox.awaits_learner) IS DISTINCT FROM (
        excluded.awaits, excluded.awaits_organisation, excluded.awaits_id, excluded.awaits_course,
        excluded.awaits_cycle, excluded.awaits_learner)
    RETURNING seq, state
)
SELECT seq FROM changed WHERE state = 'quarantined'
