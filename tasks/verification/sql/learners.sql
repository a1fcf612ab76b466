-- A learner's number that will be given out again, and what still names somebody who was erased (S15, R35).
SELECT 'learner number' AS what, l.id, 'the number ' || l.learner || ' is beyond the ' || o.learners || ' that were given out' AS detail
FROM organisations o JOIN learners l ON l.organisation = o.organisation AND l.learner > o.learners
WHERE o.organisation = :organisation
UNION ALL
SELECT 'erased', id, 'the learner is deleted, and is named still'
FROM learners
WHERE organisation = :organisation AND standing = 'deleted'
  AND num_nonnulls(username, email, first_name, last_name) > 0
ORDER BY 2 LIMIT :listed
