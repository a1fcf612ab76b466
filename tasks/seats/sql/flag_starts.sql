-- Flag starts, each told by an event, for review: on the entry it made, or where it cost nothing on the enrolment,
-- which has room for the last of them (S13).
WITH told AS (
    SELECT s.*, c.consumption
    FROM (SELECT CAST(:organisation AS int) AS organisation, given.*
          FROM unnest(CAST(:learners AS int[]), CAST(:courses AS int[]), CAST(:cycles AS int[]),
                      CAST(:codes AS text[]), CAST(:events AS text[]))
               WITH ORDINALITY AS given (learner, course, cycle, code, event, n)) s
    LEFT JOIN consumptions c ON c.organisation = s.organisation AND c.learner = s.learner AND c.course = s.course
        AND c.cycle = s.cycle AND c.event = s.event
), flagged AS (
    INSERT INTO reviews (organisation, consumption, code, event)
    SELECT :organisation, consumption, code, event FROM told WHERE consumption IS NOT NULL
    ON CONFLICT DO NOTHING
)
SELECT flag_enrolments(:organisation, array_agg(course), array_agg(cycle), array_agg(learner), array_agg(code))
FROM (SELECT DISTINCT ON (course, cycle, learner) course, cycle, learner, code FROM told WHERE consumption IS NULL
      ORDER BY course, cycle, learner, n DESC) free
