-- Rows of an organisation that is not there (R31), table by table: between the numbers of those that are. 0 is the installation.
WITH known AS (
    SELECT organisation FROM organisations UNION ALL SELECT 0 UNION ALL SELECT 2147483647
    UNION ALL SELECT number FROM departed WHERE number IS NOT NULL
), gaps AS (
    SELECT organisation AS low, lead(organisation) OVER (ORDER BY organisation) AS high FROM known
), between_ AS (
    SELECT low, high FROM gaps WHERE high - 1 > low
)
SELECT 'unknown organisation' AS what, 'learners of ' || found.organisation AS id, 'no organisation has this number' AS detail
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM learners t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'segments of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM segments t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'memberships of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM memberships t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'membership_changes of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM membership_changes t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'status_changes of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM status_changes t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'descriptions of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM descriptions t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'deletions of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM deletions t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'searchable of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM searchable t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'search_ends of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM search_ends t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'unsearchable of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM unsearchable t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'former_addresses of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM former_addresses t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'erasures of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM erasures t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'courses of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM courses t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'course_segments of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM course_segments t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'course_rules of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM course_rules t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'fanouts of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM fanouts t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'enrolments of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM enrolments t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'void_enrolments of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM void_enrolments t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'stints of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM stints t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'withdrawals of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM withdrawals t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'starts of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM starts t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'consumptions of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM consumptions t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'balances of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM balances t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'reviews of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM reviews t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'settled_reviews of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM settled_reviews t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'pool_warnings of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM pool_warnings t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'mailings of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM mailings t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'mailing_changes of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM mailing_changes t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'deliveries of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM deliveries t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'attempts of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM attempts t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'bounces of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM bounces t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'suppressions of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM suppressions t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'lifted_suppressions of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM lifted_suppressions t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'unsubscribed of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM unsubscribed t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'outbox of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM outbox t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'replays of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM replays t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'uploads of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM uploads t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'upload_blocks of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM upload_blocks t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'work of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM work t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'halts of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM halts t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'counts of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM counts t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'course_counts of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM course_counts t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'segment_counts of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM segment_counts t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'training_days of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM training_days t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'ledger_days of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM ledger_days t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'webhooks of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM webhooks t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'webhook_attempts of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM webhook_attempts t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'audit of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM audit t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
UNION ALL
SELECT 'unknown organisation', 'audit_refusals of ' || found.organisation, 'no organisation has this number'
FROM between_ CROSS JOIN LATERAL (
    SELECT t.organisation FROM audit_refusals t WHERE t.organisation > low AND t.organisation < high LIMIT 1) found
ORDER BY 2 LIMIT :listed
