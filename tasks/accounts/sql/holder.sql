-- Whose token has this hash, if it holds now.
SELECT name, role, organisations FROM tokens
WHERE hash = :hash AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
