-- Apply every standing rule to learners who are new (R7): the courses for everyone, and those that a segment of theirs
-- is linked to; what was recorded.
WITH arrived AS MATERIALIZED (
    SELECT l.organisation, l.learner, l.standing, asked.occurred_at
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                 unnest(CAST(:times AS timestamptz[])) AS occurred_at) asked
    JOIN learners l ON l.organisation = asked.organisation AND l.learner = asked.learner
    WHERE l.standing IN ('active', 'inactive')
), everyones AS MATERIALIZED (
    SELECT course, rules_since FROM courses WHERE organisation = :organisation AND method = 'everyone'
), ruled AS (
    SELECT a.organisation, a.learner, a.standing, e.course, greatest(a.occurred_at, e.rules_since) AS since
    FROM arrived a CROSS JOIN everyones e
    UNION
    SELECT a.organisation, a.learner, a.standing, c.course, greatest(a.occurred_at, c.rules_since)
    FROM arrived a
    JOIN linked k ON k.organisation = a.organisation AND k.learner = a.learner
    JOIN courses c ON c.organisation = k.organisation AND c.course = k.course AND c.method = 'segments'
)
INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at, activated_at)
SELECT w.organisation, w.course, 1, w.learner, w.standing = 'inactive', 0, since,
       CASE WHEN w.standing = 'active' THEN since END
FROM ruled w
WHERE NOT EXISTS (
    SELECT FROM withdrawn_by_name(1) n
    WHERE n.organisation = w.organisation AND n.course = w.course AND n.learner = w.learner OFFSET 0)
  AND NOT EXISTS (
    SELECT FROM void_enrolments v
    WHERE v.organisation = w.organisation AND v.course = w.course AND v.learner = w.learner AND v.cycle = 1 OFFSET 0)
ON CONFLICT DO NOTHING
RETURNING course, learner, silent
