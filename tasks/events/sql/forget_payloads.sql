-- Events that are quarantined for so long that what they say of a person is to go (R35): each is discarded. What tells
-- of a start, a completion or a status is judged again as facts arrive (S12), names nobody but by an id, and stays.
UPDATE inbox SET state = 'discarded', body = NULL, detail = NULL, resolved_by = 'rollcall', resolved_why = :why,
                 resolved_at = now()
WHERE seq IN (
    SELECT seq FROM inbox
    WHERE state = 'quarantined' AND arrived_at < now() - CAST(:kept AS interval)
      AND (reason = 'malformed' OR coalesce(type, '') <> ALL (CAST(:facts AS text[])))
    ORDER BY seq LIMIT :most
    FOR UPDATE SKIP LOCKED)
