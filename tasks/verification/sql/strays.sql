-- Rows of an organisation that is not there (R31), table by table: between the numbers of those that are. 0 is the installation.
WITH known AS (
    SELECT organisation FROM organisations UNION ALL SELECT 0 UNION ALL SELECT 2147483647
    UNION ALL SELECT number FROM departed WHERE number IS NOT NULL
), gaps AS (
    SELECT organisation AS low, lead(organisation) OVER (ORDER BY organisation) AS high FROM known
), between_ AS (
    SELECT low, high FROM gaps WHERE high - 1 > low
)
SELECT 'unknown organisation' AS what, of_table || ' of ' || organisation AS id, 'no organisation has this number' AS detail
FROM between_ CROSS JOIN LATERAL (
    (SELECT 'learners' AS of_table, organisation FROM learners
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'segments', organisation FROM segments
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'memberships', organisation FROM memberships
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'membership_changes', organisation FROM membership_changes
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'status_changes', organisation FROM status_changes
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'descriptions', organisation FROM descriptions
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'deletions', organisation FROM deletions
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'searchable', organisation FROM searchable
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'search_ends', organisation FROM search_ends
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'unsearchable', organisation FROM unsearchable
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'former_addresses', organisation FROM former_addresses
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'erasures', organisation FROM erasures
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'courses', organisation FROM courses
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'course_segments', organisation FROM course_segments
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'course_rules', organisation FROM course_rules
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'fanouts', organisation FROM fanouts
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'enrolments', organisation FROM enrolments
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'void_enrolments', organisation FROM void_enrolments
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'stints', organisation FROM stints
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'withdrawals', organisation FROM withdrawals
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'starts', organisation FROM starts
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'consumptions', organisation FROM consumptions
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'balances', organisation FROM balances
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'reviews', organisation FROM reviews
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'settled_reviews', organisation FROM settled_reviews
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'pool_warnings', organisation FROM pool_warnings
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'mailings', organisation FROM mailings
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'mailing_changes', organisation FROM mailing_changes
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'deliveries', organisation FROM deliveries
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'attempts', organisation FROM attempts
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'bounces', organisation FROM bounces
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'suppressions', organisation FROM suppressions
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'lifted_suppressions', organisation FROM lifted_suppressions
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'unsubscribed', organisation FROM unsubscribed
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'outbox', organisation FROM outbox
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'replays', organisation FROM replays
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'uploads', organisation FROM uploads
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'upload_blocks', organisation FROM upload_blocks
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'work', organisation FROM work
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'halts', organisation FROM halts
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'counts', organisation FROM counts
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'course_counts', organisation FROM course_counts
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'segment_counts', organisation FROM segment_counts
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'training_days', organisation FROM training_days
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'ledger_days', organisation FROM ledger_days
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'webhooks', organisation FROM webhooks
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'webhook_attempts', organisation FROM webhook_attempts
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'audit', organisation FROM audit
    WHERE organisation > low AND organisation < high LIMIT 1)
    UNION ALL (SELECT 'audit_refusals', organisation FROM audit_refusals
    WHERE organisation > low AND organisation < high LIMIT 1)
) found
ORDER BY 2 LIMIT :listed
