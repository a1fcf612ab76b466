-- What is open to these learners while they are active, and closed while they are not: in all, how many courses these
-- are, what of it was never open yet; and how many of them have no address, and how many a digest could tell of it.
WITH asked AS (
    SELECT l.organisation, l.learner, coalesce(l.email, '') = '' AS unreachable
    FROM learners l
    WHERE l.organisation = :organisation AND l.learner = ANY(CAST(:learners AS int[]))
),
open AS (
    SELECT DISTINCT ON (e.learner, e.course) e.learner, e.course,
           coalesce(e.activated_at, 'infinity') = 'infinity' AS waiting
    FROM asked
    JOIN enrolments e ON e.organisation = asked.organisation AND e.learner = asked.learner
    JOIN courses c ON c.organisation = e.organisation AND c.course = e.course
    WHERE gives_access('active', e.withdrawn_at, c.on_hold)
    ORDER BY e.learner, e.course, waiting DESC
)
SELECT (SELECT count(*) FROM open) AS access,
       (SELECT count(DISTINCT course) FROM open) AS courses,
       (SELECT count(*) FROM open WHERE waiting) AS waiting,
       (SELECT count(*) FROM asked WHERE unreachable) AS unreachable,
       (SELECT count(DISTINCT open.learner) FROM open JOIN asked USING (learner)
        WHERE waiting AND NOT unreachable) AS digests
