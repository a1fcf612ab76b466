-- Index so many learners who are not, or not as they are described now: those described anew first, then the next behind
-- the last that is; how many there were.
WITH gone AS (
    DELETE FROM unsearchable u USING (
        SELECT learner, change FROM unsearchable WHERE organisation = :organisation
        ORDER BY learner, change LIMIT :most) old
    WHERE u.organisation = :organisation AND u.learner = old.learner AND u.change = old.change
    RETURNING u.learner
), next AS (
    SELECT l.learner FROM learners l WHERE l.organisation = :organisation AND l.learner > CAST(:behind AS int)
    ORDER BY l.learner LIMIT CAST(:most AS int) - (SELECT count(*) FROM gone)
), reached AS (
    UPDATE search_ends SET through = (SELECT max(learner) FROM next)
    WHERE organisation = :organisation AND EXISTS (SELECT FROM next)
), written AS (
    INSERT INTO searchable (organisation, learner, said)
    SELECT l.organisation, l.learner, search_text(l)
    FROM (SELECT learner FROM gone UNION SELECT learner FROM next) each
    JOIN learners l ON l.organisation = :organisation AND l.learner = each.learner
    ON CONFLICT (organisation, learner) DO UPDATE SET said = excluded.said
)
SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM next)
