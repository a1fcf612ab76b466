-- Who was in a segment at a moment (S3).
WITH latest AS MATERIALIZED (
    SELECT DISTINCT ON (learner) organisation, learner, member, occurred_at FROM membership_changes
    WHERE organisation = :organisation AND segment = :segment AND occurred_at <= :moment
    ORDER BY learner, occurred_at DESC
)
SELECT l.learner
FROM latest JOIN learners l ON l.organisation = latest.organisation AND l.learner = latest.learner
WHERE member AND (l.deleted_at IS NULL OR NOT EXISTS (
    SELECT FROM deletions d WHERE d.organisation = latest.organisation AND d.learner = latest.learner
      AND d.occurred_at >= latest.occurred_at AND d.occurred_at <= :moment))
ORDER BY l.learner
