-- What every table keeps of a learner whom it names by number, by id or by address, each row as a document; what names
-- them within a text is looked for elsewhere. In the order of the names of the tables.
WITH addresses AS MATERIALIZED (
    SELECT digest_of(email) AS digest FROM learners WHERE organisation = :organisation AND learner = :learner
    UNION
    SELECT digest FROM former_addresses WHERE organisation = :organisation AND learner = :learner
), entries AS MATERIALIZED (
    SELECT consumption FROM consumptions WHERE organisation = :organisation AND learner = :learner
), told AS MATERIALIZED (
    SELECT * FROM outbox WHERE organisation = :organisation AND data ->> 'learner' = :id
), kept AS (
    SELECT 'learners' AS of_table, to_jsonb(t) AS said FROM learners t
    WHERE organisation = :organisation AND learner = :learner
    UNION ALL SELECT 'status_changes', to_jsonb(t) FROM status_changes t
    WHERE organisation = :organisation AND learner = :learner
    UNION ALL SELECT 'descriptions', to_jsonb(t) FROM descriptions t
    WHERE organisation = :organisation AND learner = :learner
    UNION ALL SELECT 'deletions', to_jsonb(t) FROM deletions t
    WHERE organisation = :organisation AND learner = :learner
    UNION ALL SELECT 'memberships', to_jsonb(t) || jsonb_build_object('id', s.id, 'name', s.name)
    FROM memberships t JOIN segments s USING (organisation, segment)
    WHERE t.organisation = :organisation AND t.learner = :learner
    UNION ALL SELECT 'membership_changes', to_jsonb(t) || jsonb_build_object('id', s.id)
    FROM segments s JOIN membership_changes t USING (organisation, segment)
    WHERE s.organisation = :organisation AND t.organisation = :organisation AND t.learner = :learner
    UNION ALL SELECT 'searchable', to_jsonb(t) FROM searchable t
    WHERE organisation = :organisation AND learner = :learner
    UNION ALL SELECT 'unsearchable', to_jsonb(t) FROM unsearchable t
    WHERE organisation = :organisation AND learner = :learner
    UNION ALL SELECT 'former_addresses', to_jsonb(t) FROM former_addresses t
    WHERE organisation = :organisation AND learner = :learner
    UNION ALL SELECT 'erasures', to_jsonb(t) FROM erasures t
    WHERE organisation = :organisation AND t.id = :id
    UNION ALL SELECT 'enrolments', to_jsonb(t) || jsonb_build_object('id', c.id, 'title', c.title)
    FROM enrolments t JOIN courses c USING (organisation, course)
    WHERE t.organisation = :organisation AND t.learner = :learner
    UNION ALL SELECT 'fanouts', jsonb_build_object('fanout', t.fanout, 'cause', t.cause, 'request', t.request,
        'courses', t.courses, 'cycle', t.cycle, 'occurred_at', t.occurred_at)
    FROM fanouts t WHERE organisation = :organisation AND CAST(:learner AS int) = ANY(t.learners)
    UNION ALL SELECT 'void_enrolments', to_jsonb(t) FROM void_enrolments t
    WHERE organisation = :organisation AND learner = :learner
    UNION ALL SELECT 'stints', to_jsonb(t) FROM stints t
    WHERE organisation = :organisation AND learner = :learner
    UNION ALL SELECT 'withdrawals', to_jsonb(t) FROM withdrawals t
    WHERE organisation = :organisation AND learner = :learner
    UNION ALL SELECT 'starts', to_jsonb(t) FROM starts t
    WHERE organisation = :organisation AND learner = :learner
    UNION ALL SELECT 'consumptions', to_jsonb(t) FROM consumptions t
    WHERE organisation = :organisation AND learner = :learner
    UNION ALL SELECT 'reviews', to_jsonb(t) FROM entries JOIN reviews t USING (consumption)
    WHERE t.organisation = :organisation
    UNION ALL SELECT 'settled_reviews', to_jsonb(t) FROM entries JOIN settled_reviews t USING (consumption)
    WHERE t.organisation = :organisation
    UNION ALL SELECT 'deliveries', to_jsonb(t) || jsonb_build_object('kind', m.kind, 'id', m.id)
    FROM mailings m JOIN deliveries t USING (organisation, mailing)
    WHERE m.organisation = :organisation AND t.organisation = :organisation AND t.recipient = :learner
    UNION ALL SELECT 'attempts', to_jsonb(t) FROM mailings m JOIN attempts t USING (organisation, mailing)
    WHERE m.organisation = :organisation AND t.organisation = :organisation AND t.recipient = :learner
    UNION ALL SELECT 'bounces', to_jsonb(t) FROM bounces t
    WHERE organisation = :organisation AND recipient = :learner
    UNION ALL SELECT 'unsubscribed', to_jsonb(t) FROM unsubscribed t
    WHERE organisation = :organisation AND learner = :learner
    UNION ALL SELECT 'suppressions', to_jsonb(t) FROM suppressions t JOIN addresses ON digest = digest_of(t.address)
    WHERE organisation = :organisation
    UNION ALL SELECT 'lifted_suppressions', to_jsonb(t)
    FROM lifted_suppressions t JOIN addresses ON digest = digest_of(t.address)
    WHERE organisation = :organisation
    UNION ALL SELECT 'outbox', to_jsonb(t) FROM told t
    UNION ALL SELECT 'webhook_attempts', to_jsonb(t) FROM webhook_attempts t JOIN outbox o USING (position)
    WHERE (t.organisation = :organisation OR t.organisation = 0) AND o.organisation = :organisation
      AND strpos(CAST(o.data AS text), CAST(to_json(CAST(:id AS text)) AS text)) > 0
    UNION ALL SELECT 'audit', to_jsonb(t) FROM audit t
    WHERE organisation = :organisation AND subject = :id AND starts_with(act, 'learners.')
)
SELECT of_table, CAST(said AS text) AS said FROM kept ORDER BY of_table COLLATE "C", CAST(said AS text) COLLATE "C"
