-- Add a request to what holds the enrolments of these learners, and nothing else (S6), unless a withdrawal by name
-- stands against it (S4); how many.
WITH joined AS (
    UPDATE enrolments e SET requests = e.requests || CAST(:fanout AS bigint), asked = e.asked || CAST(:fanout AS bigint)
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:listed AS int[])) AS learner) l
    WHERE e.organisation = l.organisation AND e.learner = l.learner AND e.course = :course AND e.cycle = :cycle
      AND e.withdrawn_at IS NULL AND e.fanout <> :fanout AND NOT EXISTS (
          SELECT FROM withdrawn_by_name(:cycle) said
          WHERE said.organisation = :organisation AND said.course = :course AND said.learner = l.learner
            AND said.occurred_at >= :at)
    RETURNING e.learner
)
SELECT count(*) FROM joined
