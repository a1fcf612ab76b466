-- Put what is meant, of these positions, in line to be published once more, in its order, or only count it; how many.
WITH meant AS (
    SELECT organisation, seq, position FROM outbox
    WHERE position BETWEEN :low AND :high
      AND (CAST(:organisation AS int) IS NULL OR organisation = :organisation)
      AND (CAST(:since AS timestamptz) IS NULL OR time >= :since)
      AND (CAST(:until AS timestamptz) IS NULL OR time <= :until)
      AND (CAST(:types AS text[]) = '{}' OR type = ANY(CAST(:types AS text[])))
), again AS (
    INSERT INTO replays (organisation, seq) SELECT organisation, seq FROM meant WHERE NOT :dry ORDER BY position
)
SELECT count(*) FROM meant
