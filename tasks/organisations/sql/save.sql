-- Describe an organisation, unless a newer description holds already (R6); of two at the same time the greater holds,
-- whichever is heard last.
INSERT INTO organisations (id, name, licence, pool, licence_starts, licence_ends, admin_emails,
                           reactivation_digest, logo, colour, saved_at)
VALUES (:id, :name, :licence, :pool, :starts, :ends, :admins, :digest, :logo, :colour, :at)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, licence = excluded.licence, pool = excluded.pool,
    licence_starts = excluded.licence_starts, licence_ends = excluded.licence_ends,
    admin_emails = excluded.admin_emails, reactivation_digest = excluded.reactivation_digest,
    logo = excluded.logo, colour = excluded.colour, saved_at = excluded.saved_at
WHERE organisations.saved_at < excluded.saved_at
   OR organisations.saved_at = excluded.saved_at AND CAST(ROW(
        organisations.licence, organisations.pool, organisations.licence_starts, organisations.licence_ends,
        organisations.name, organisations.admin_emails, organisations.reactivation_digest, organisations.logo,
        organisations.colour) AS text) COLLATE "C" < CAST(ROW(
        excluded.licence, excluded.pool, excluded.licence_starts, excluded.licence_ends, excluded.name,
        excluded.admin_emails, excluded.reactivation_digest, excluded.logo, excluded.colour) AS text)
