-- Every course, with these learners, in which they are, were or may be enrolled.
WITH asked AS (
    SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner
)
SELECT had.course, asked.learner FROM asked CROSS JOIN LATERAL (
    SELECT course FROM enrolments WHERE organisation = asked.organisation AND learner = asked.learner
    UNION ALL
    SELECT course FROM void_enrolments WHERE organisation = asked.organisation AND learner = asked.learner
    UNION ALL
    SELECT course FROM starts WHERE organisation = asked.organisation AND learner = asked.learner OFFSET 0) had
UNION SELECT c.course, asked.learner FROM asked JOIN courses c USING (organisation) WHERE c.method <> 'manual'
UNION
SELECT r.course, asked.learner FROM asked JOIN course_rules r USING (organisation) WHERE r.method <> 'manual'
