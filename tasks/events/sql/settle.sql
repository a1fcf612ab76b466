-- Events that were held are taken after all: none is held any more, and each stays known (R32). One that came before there
-- was such a table is not in it yet, and one that waited for very long may be there no more. What a person released stays.
WITH settled AS (
    DELETE FROM inbox WHERE seq = ANY(:seqs) AND state <> 'released' RETURNING source, id, organisation
)
INSERT INTO arrivals (source, id, organisation)
SELECT s.source, s.id, s.organisation FROM settled s
WHERE (SELECT true FROM arrivals a
       WHERE a.id = s.id AND a.source = s.source AND a.organisation = s.organisation LIMIT 1) IS NULL
ON CONFLICT DO NOTHING
