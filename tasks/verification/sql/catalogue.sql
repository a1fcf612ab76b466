-- What the database promises by itself: each unique index, constraint and trigger that a rule stands on is there, whole and enforced.
WITH here AS (
    SELECT * FROM pg_class WHERE relnamespace = CAST(current_schema() AS regnamespace)
), promised (name) AS (
    VALUES ('one_credit_charge'), ('one_seat_charge'), ('arrivals_pkey'), ('inbox_event'), ('inbox_malformed'), ('fanouts_request'),
           ('replays_position'), ('suppressions_in_order'), ('tokens_name'), ('accounts_subject')
)
SELECT 'promise' AS what, p.name AS id, 'this unique index is not there: what it keeps single may be there twice' AS detail
FROM promised p WHERE NOT EXISTS (
    SELECT FROM here c JOIN pg_index i ON i.indexrelid = c.oid WHERE c.relname = p.name AND i.indisunique)
UNION ALL
SELECT 'promise', c.relname, 'this index is not valid: it was left unfinished'
FROM here c JOIN pg_index i ON i.indexrelid = c.oid WHERE NOT (i.indisvalid AND i.indisready AND i.indislive)
UNION ALL
SELECT 'promise', c.relname || ' ' || k.conname, 'this constraint was not validated: older rows may break it'
FROM here c JOIN pg_constraint k ON k.conrelid = c.oid WHERE NOT k.convalidated
UNION ALL
SELECT 'promise', c.relname || ' ' || t.tgname, 'this trigger is switched off'
FROM here c JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal AND t.tgenabled NOT IN ('O', 'A')
UNION ALL
SELECT 'promise', named.name || ' ' || named.does, 'this trigger is not there: what is append-only can be changed'
FROM (VALUES ('consumptions', 'refuse_change'), ('audit', 'refuse_audit_change')) AS named (name, does)
WHERE NOT EXISTS (
    SELECT FROM here c JOIN pg_trigger t ON t.tgrelid = c.oid JOIN pg_proc f ON f.oid = t.tgfoid
    WHERE c.relname = named.name AND f.proname = named.does)
UNION ALL
SELECT 'promise', c.relname, 'row security is switched off: people of one organisation may see another''s (R31)'
FROM here c
WHERE c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
  AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)
ORDER BY 2 LIMIT :listed
