-- A row that is about something which is not there: no table of so many rows has foreign keys.
SELECT 'orphan' AS what, 'enrolments ' || t.course || ' ' || t.cycle || ' ' || t.learner AS id, 'its learner is not there' AS detail
FROM enrolments t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM learners o WHERE o.organisation = t.organisation AND o.learner = t.learner)
UNION ALL
SELECT 'orphan', 'enrolments ' || t.course || ' ' || t.cycle || ' ' || t.learner, 'its course is not there'
FROM enrolments t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM courses o WHERE o.organisation = t.organisation AND o.course = t.course)
UNION ALL
SELECT 'orphan', 'void_enrolments ' || t.course || ' ' || t.cycle || ' ' || t.learner, 'its learner is not there'
FROM void_enrolments t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM learners o WHERE o.organisation = t.organisation AND o.learner = t.learner)
UNION ALL
SELECT 'orphan', 'void_enrolments ' || t.course || ' ' || t.cycle || ' ' || t.learner, 'its course is not there'
FROM void_enrolments t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM courses o WHERE o.organisation = t.organisation AND o.course = t.course)
UNION ALL
SELECT 'orphan', 'stints ' || t.course || ' ' || t.cycle || ' ' || t.learner, 'its learner is not there'
FROM stints t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM learners o WHERE o.organisation = t.organisation AND o.learner = t.learner)
UNION ALL
SELECT 'orphan', 'stints ' || t.course || ' ' || t.cycle || ' ' || t.learner, 'its course is not there'
FROM stints t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM courses o WHERE o.organisation = t.organisation AND o.course = t.course)
UNION ALL
SELECT 'orphan', 'withdrawals ' || t.course || ' ' || t.learner, 'its learner is not there'
FROM withdrawals t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM learners o WHERE o.organisation = t.organisation AND o.learner = t.learner)
UNION ALL
SELECT 'orphan', 'withdrawals ' || t.course || ' ' || t.learner, 'its course is not there'
FROM withdrawals t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM courses o WHERE o.organisation = t.organisation AND o.course = t.course)
UNION ALL
SELECT 'orphan', 'starts ' || t.course || ' ' || t.cycle || ' ' || t.learner, 'its learner is not there'
FROM starts t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM learners o WHERE o.organisation = t.organisation AND o.learner = t.learner)
UNION ALL
SELECT 'orphan', 'starts ' || t.course || ' ' || t.cycle || ' ' || t.learner, 'its course is not there'
FROM starts t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM courses o WHERE o.organisation = t.organisation AND o.course = t.course)
UNION ALL
SELECT 'orphan', 'memberships ' || t.segment || ' ' || t.learner, 'its learner is not there'
FROM memberships t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM learners o WHERE o.organisation = t.organisation AND o.learner = t.learner)
UNION ALL
SELECT 'orphan', 'memberships ' || t.segment || ' ' || t.learner, 'its segment is not there'
FROM memberships t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM segments o WHERE o.organisation = t.organisation AND o.segment = t.segment)
UNION ALL
SELECT 'orphan', 'membership_changes ' || t.segment || ' ' || t.learner, 'its learner is not there'
FROM membership_changes t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM learners o WHERE o.organisation = t.organisation AND o.learner = t.learner)
UNION ALL
SELECT 'orphan', 'membership_changes ' || t.segment || ' ' || t.learner, 'its segment is not there'
FROM membership_changes t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM segments o WHERE o.organisation = t.organisation AND o.segment = t.segment)
UNION ALL
SELECT 'orphan', 'status_changes ' || CAST(t.learner AS text), 'its learner is not there'
FROM status_changes t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM learners o WHERE o.organisation = t.organisation AND o.learner = t.learner)
UNION ALL
SELECT 'orphan', 'descriptions ' || CAST(t.learner AS text), 'its learner is not there'
FROM descriptions t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM learners o WHERE o.organisation = t.organisation AND o.learner = t.learner)
UNION ALL
SELECT 'orphan', 'deletions ' || CAST(t.learner AS text), 'its learner is not there'
FROM deletions t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM learners o WHERE o.organisation = t.organisation AND o.learner = t.learner)
UNION ALL
SELECT 'orphan', 'unsubscribed ' || CAST(t.learner AS text), 'its learner is not there'
FROM unsubscribed t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM learners o WHERE o.organisation = t.organisation AND o.learner = t.learner)
UNION ALL
SELECT 'orphan', 'former_addresses ' || CAST(t.learner AS text), 'its learner is not there'
FROM former_addresses t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM learners o WHERE o.organisation = t.organisation AND o.learner = t.learner)
UNION ALL
SELECT 'orphan', 'searchable ' || CAST(t.learner AS text), 'its learner is not there'
FROM searchable t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM learners o WHERE o.organisation = t.organisation AND o.learner = t.learner)
UNION ALL
SELECT 'orphan', 'course_segments ' || t.course || ' ' || t.segment, 'its course is not there'
FROM course_segments t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM courses o WHERE o.organisation = t.organisation AND o.course = t.course)
UNION ALL
SELECT 'orphan', 'course_segments ' || t.course || ' ' || t.segment, 'its segment is not there'
FROM course_segments t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM segments o WHERE o.organisation = t.organisation AND o.segment = t.segment)
UNION ALL
SELECT 'orphan', 'course_rules ' || CAST(t.course AS text), 'its course is not there'
FROM course_rules t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM courses o WHERE o.organisation = t.organisation AND o.course = t.course)
UNION ALL
SELECT 'orphan', 'deliveries ' || t.mailing || ' ' || t.recipient, 'its mailing is not there'
FROM deliveries t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM mailings o WHERE o.organisation = t.organisation AND o.mailing = t.mailing)
UNION ALL
SELECT 'orphan', 'deliveries ' || t.mailing || ' ' || t.recipient, 'its learner is not there'
FROM deliveries t WHERE t.organisation = :organisation AND t.recipient > 0 AND NOT EXISTS (
    SELECT FROM learners o WHERE o.organisation = t.organisation AND o.learner = t.recipient)
UNION ALL
SELECT 'orphan', 'attempts ' || t.mailing || ' ' || t.recipient, 'its mailing is not there'
FROM attempts t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM mailings o WHERE o.organisation = t.organisation AND o.mailing = t.mailing)
UNION ALL
SELECT 'orphan', 'bounces ' || t.mailing || ' ' || t.recipient, 'its mailing is not there'
FROM bounces t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM mailings o WHERE o.organisation = t.organisation AND o.mailing = t.mailing)
UNION ALL
SELECT 'orphan', 'mailing_changes ' || CAST(t.mailing AS text), 'its mailing is not there'
FROM mailing_changes t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM mailings o WHERE o.organisation = t.organisation AND o.mailing = t.mailing)
UNION ALL
SELECT 'orphan', 'enrolments ' || t.course || ' ' || t.cycle || ' ' || t.learner, 'its fan-out is not there'
FROM enrolments t WHERE t.organisation = :organisation AND t.fanout <> 0 AND NOT EXISTS (
    SELECT FROM fanouts o WHERE o.organisation = t.organisation AND o.fanout = t.fanout)
UNION ALL
SELECT 'orphan', 'enrolments ' || t.course || ' ' || t.cycle || ' ' || t.learner, 'its mailing is not there'
FROM enrolments t WHERE t.organisation = :organisation AND t.notice IS NOT NULL AND NOT EXISTS (
    SELECT FROM mailings o WHERE o.organisation = t.organisation AND o.mailing = t.notice)
UNION ALL
SELECT 'orphan', 'fanouts ' || CAST(t.fanout AS text), 'its mailing is not there'
FROM fanouts t WHERE t.organisation = :organisation AND t.mailing IS NOT NULL AND NOT EXISTS (
    SELECT FROM mailings o WHERE o.organisation = t.organisation AND o.mailing = t.mailing)
UNION ALL
SELECT 'orphan', 'reviews ' || CAST(t.consumption AS text), 'its entry is not there'
FROM reviews t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM consumptions o WHERE o.organisation = t.organisation AND o.consumption = t.consumption)
UNION ALL
SELECT 'orphan', 'settled_reviews ' || CAST(t.consumption AS text), 'its flag is not there'
FROM settled_reviews t WHERE t.organisation = :organisation AND NOT EXISTS (
    SELECT FROM reviews o WHERE o.organisation = t.organisation AND o.consumption = t.consumption AND o.code = t.code)
ORDER BY 2 LIMIT :listed
