-- The entries of the audit log about an organisation, or with null about every one and the installation: the oldest
-- first, in the order of the index that the choice of the organisation leaves.
SELECT rfc3339(a.at) AS at, o.id AS organisation, a.who, a.door, a.address, a.act, a.subject, a.before, a.after, a.outcome
FROM audit a LEFT JOIN organisations o USING (organisation)
WHERE (CAST(:organisation AS int) IS NULL OR a.organisation = :organisation)
  AND (CAST(:since AS timestamptz) IS NULL OR a.at >= :since)
  AND (CAST(:who AS text) IS NULL OR a.who = :who)
  AND (CAST(:act AS text) IS NULL OR a.act = :act OR starts_with(a.act, CAST(:act AS text) || '.'))
ORDER BY a.at, a.id
