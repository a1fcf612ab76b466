-- What waits for any of these, and starts and completions that came before their enrolment, where organisations have
-- enrolled meanwhile (R27): in the order in which it arrived, by number and octets. To know the length of a body is not
-- to read it.
WITH known AS MATERIALIZED (
    SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:organisations AS int[]), CAST(:ids AS text[]),
                         CAST(:learners AS int[])) AS known (kind, organisation, id, learner)
), found AS (
    SELECT i.seq, i.awaits, i.body FROM known
    JOIN inbox i ON i.awaits_organisation = known.organisation AND i.awaits = known.kind
        AND i.awaits_id = known.id
    UNION ALL
    SELECT i.seq, i.awaits, i.body FROM known
    JOIN inbox i ON i.awaits_organisation = known.organisation AND i.awaits = known.kind
        AND i.awaits_course IS NULL AND i.awaits_learner = known.learner
    UNION ALL
    SELECT i.seq, i.awaits, i.body FROM unnest(CAST(:enrolled AS int[])) AS known (organisation)
    JOIN inbox i ON i.awaits_organisation = known.organisation AND i.awaits = 'enrolment'
        AND i.awaits_learner IS NOT NULL
    WHERE EXISTS (SELECT FROM (
        SELECT organisation, course, cycle, learner FROM enrolments
        UNION ALL SELECT organisation, course, cycle, learner FROM stints) e
    WHERE e.organisation = i.awaits_organisation AND e.course = i.awaits_course
      AND e.cycle = i.awaits_cycle AND e.learner = i.awaits_learner)
)
SELECT seq, awaits, body, found FROM (
    SELECT seq, awaits, body, count(*) OVER () AS found,
           sum(octet_length(body)) OVER (ORDER BY seq) - octet_length(body) AS before
    FROM (SELECT seq, awaits, body FROM found ORDER BY seq LIMIT :most) AS several) page
WHERE before < :octets ORDER BY seq
