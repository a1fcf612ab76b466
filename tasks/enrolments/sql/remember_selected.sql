-- Keep that a request selected these learners, also where it holds nothing.
WITH shown AS (
    UPDATE enrolments e SET asked = e.asked || CAST(:fanout AS bigint)
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:listed AS int[])) AS learner) asked
    WHERE e.organisation = asked.organisation AND e.learner = asked.learner AND e.course = :course AND e.cycle = :cycle
      AND :fanout <> ALL(coalesce(e.asked, '{}'))
), void AS (
    UPDATE void_enrolments e SET asked = e.asked || CAST(:fanout AS bigint)
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:listed AS int[])) AS learner) asked
    WHERE e.organisation = asked.organisation AND e.learner = asked.learner AND e.course = :course AND e.cycle = :cycle
      AND :fanout <> ALL(coalesce(e.asked, '{}'))
)
INSERT INTO void_enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at, asked)
SELECT asked.organisation, :course, :cycle, asked.learner, true, :fanout, :at, ARRAY[CAST(:fanout AS bigint)]
FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:listed AS int[])) AS learner) asked
WHERE NOT EXISTS (
    SELECT FROM enrolments e
    WHERE e.organisation = asked.organisation AND e.learner = asked.learner AND e.course = :course AND e.cycle = :cycle)
ON CONFLICT DO NOTHING
