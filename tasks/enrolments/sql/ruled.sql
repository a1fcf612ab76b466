-- How many enrolments the standing rules want for learners who are new; those by segments are counted up to a bound.
WITH arrived AS MATERIALIZED (
    SELECT l.organisation, l.learner
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner) asked
    JOIN learners l ON l.organisation = asked.organisation AND l.learner = asked.learner
    WHERE l.standing IN ('active', 'inactive')
)
SELECT (SELECT count(*) FROM arrived)
     * (SELECT count(*) FROM courses WHERE organisation = :organisation AND method = 'everyone')
     + (SELECT count(*) FROM (
           SELECT FROM arrived a
           JOIN linked k ON k.organisation = a.organisation AND k.learner = a.learner
           JOIN courses c ON c.organisation = k.organisation AND c.course = k.course AND c.method = 'segments'
           LIMIT :most) counted)
