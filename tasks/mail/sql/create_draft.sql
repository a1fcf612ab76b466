-- Keep a draft, and who made it; its number, or None where the id is taken (S16).
WITH created AS (
    INSERT INTO mailings (organisation, kind, id, state, policy, subject, body, audience, send_at, time_zone)
    VALUES (:organisation, 'announcement', :announcement, 'draft', :policy, :subject, :body,
            CAST(:audience AS jsonb), :send_at, :time_zone)
    ON CONFLICT (organisation, kind, source, id) DO NOTHING
    RETURNING organisation, mailing
), logged AS (
    INSERT INTO mailing_changes (organisation, mailing, move, after, by)
    SELECT organisation, mailing, 'create', 'draft', :by FROM created
)
SELECT mailing FROM created
