-- Analytics of the active by segment (R29): what each learner has is added up once, however many segments they are in.
SELECT s.organisation, s.id, coalesce(s.name, s.id) AS name,
       count(l.learner) AS members, CAST(coalesce(sum(own.enrolled), 0) AS bigint) AS enrolled,
       CAST(coalesce(sum(own.started), 0) AS bigint) AS started,
       CAST(coalesce(sum(own.completed), 0) AS bigint) AS completed
FROM segments s
LEFT JOIN (memberships m JOIN learners l USING (organisation, learner))
    ON m.organisation = s.organisation AND m.segment = s.segment AND m.member AND l.standing = 'active'
LEFT JOIN (
    SELECT e.learner, count(*) AS enrolled, count(e.started_at) AS started, count(e.completed_at) AS completed
    FROM enrolments e WHERE e.organisation = :organisation AND e.withdrawn_at IS NULL GROUP BY e.learner
) own ON own.learner = m.learner
WHERE s.organisation = :organisation AND s.saved_at IS NOT NULL
GROUP BY s.organisation, s.id, s.name
