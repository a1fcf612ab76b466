-- The rules of courses, as they were described over time; of a course that was described once, as it is.
SELECT course, occurred_at, method, segments, true AS described FROM course_rules
WHERE organisation = :organisation AND course = ANY(CAST(:courses AS int[]))
UNION ALL
SELECT c.course, c.rules_since, c.method, ARRAY(
    SELECT cs.segment FROM course_segments cs
    WHERE cs.organisation = :organisation AND cs.course = c.course), false
FROM courses c
WHERE c.organisation = :organisation AND c.course = ANY(CAST(:courses AS int[])) AND NOT EXISTS (
    SELECT FROM course_rules r WHERE r.organisation = :organisation AND r.course = c.course)
