-- What is written of the enrolments of these learners in these courses, shown or void, with the times of the requests;
-- which these are, the table knows. Each pair is looked up, whatever the planner believes.
SELECT e.course, e.cycle, e.learner, e.void, e.before_history, e.enrolled_at, e.withdrawn_at, e.withdrawn_by,
       e.started_at, e.activated_at, e.completed_at,
       ARRAY(SELECT f.occurred_at FROM fanouts f
             WHERE f.organisation = e.organisation AND f.fanout = ANY(e.asked) ORDER BY f.occurred_at) AS asked,
       ARRAY(SELECT f.occurred_at FROM fanouts f
             WHERE f.organisation = e.organisation AND f.fanout = ANY(e.requests) ORDER BY f.occurred_at) AS held
FROM (
    SELECT e.*, false AS void
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:courses AS int[])) AS course,
                 unnest(CAST(:learners AS int[])) AS learner) asked
    CROSS JOIN LATERAL (
        SELECT * FROM enrolments WHERE organisation = asked.organisation AND course = asked.course
          AND learner = asked.learner OFFSET 0) e
    UNION ALL
    SELECT e.*, true
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:courses AS int[])) AS course,
                 unnest(CAST(:learners AS int[])) AS learner) asked
    CROSS JOIN LATERAL (
        SELECT * FROM void_enrolments WHERE organisation = asked.organisation AND course = asked.course
          AND learner = asked.learner OFFSET 0) e
) e
