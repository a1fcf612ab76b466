"""The audit log lies in partitions, one for each month: the relay makes them ahead and drops them.

The table that there was becomes the first partition, as it is: its rows, and its indexes. Only the catalogue is
written, and the locks last for as long as that takes. What lies in the first partition may be older than the log is
kept already: so `forget_audit` goes on to delete it entry by entry, as before, and nothing else.
"""

from importlib import import_module

from alembic import op

revision = "0082"
down_revision = "0081"
branch_labels = None
depends_on = None

oldest = "0037"

#: What there is for every table of partitions. A partition has the constraints and the append-only triggers of its
#: table; what `moves` from the default partition to its own is no change. A partition is not dropped before a day after
#: its end.
FUNCTIONS = r"""
CREATE OR REPLACE FUNCTION make_partition(of_table text, low timestamptz, high timestamptz)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    name text := of_table || to_char(low AT TIME ZONE 'UTC', '"_"YYYY"_"MM');
    other text := of_table || '_other';
    at text := (SELECT attname FROM pg_partitioned_table JOIN pg_attribute ON attrelid = partrelid
                WHERE partrelid = to_regclass(quote_ident(of_table)) AND attnum = partattrs[0]);
    guard name;
    guards name[] := ARRAY(SELECT tgname FROM pg_trigger
                           WHERE tgrelid = to_regclass(quote_ident(other)) AND tgenabled = 'A');
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING CONSTRAINTS)', name,
                   of_table);
    EXECUTE format('ALTER TABLE %I ALTER organisation SET (n_distinct = -0.001)', name);
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', other);
    FOREACH guard IN ARRAY guards LOOP
        EXECUTE format('ALTER TABLE %I DISABLE TRIGGER %I', other, guard);
    END LOOP;
    EXECUTE format('WITH moves AS (DELETE FROM %1$I WHERE %2$I >= %3$L AND %2$I < %4$L RETURNING *)'
                   ' INSERT INTO %5$I SELECT * FROM moves', other, at, low, high, name);
    FOREACH guard IN ARRAY guards LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER %I', other, guard);
    END LOOP;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', of_table, name, low, high);
    PERFORM guard_partition(name);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = people()) THEN
        EXECUTE format('CREATE POLICY own_organisation ON %I TO %I USING (organisation = served())', name, people());
        EXECUTE format('GRANT SELECT ON %I TO %I', name, people());
    END IF;
    RETURN name;
END
$$;
CREATE FUNCTION guard_partition(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    guard record;
BEGIN
    FOR guard IN SELECT tgname, pg_get_triggerdef(t.oid) AS made_by
                 FROM pg_trigger t JOIN pg_inherits ON inhparent = tgrelid
                 WHERE inhrelid = to_regclass(quote_ident(name)) AND tgenabled = 'A'
                   AND CAST(tgtype AS int) & 1 = 0  -- of a statement: those of rows are there already
    LOOP
        EXECUTE regexp_replace(guard.made_by, ' ON .* FOR EACH ', format(' ON %I FOR EACH ', name));
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER %I', name, guard.tgname);
    END LOOP;
END
$$;
COMMENT ON FUNCTION guard_partition IS 'gives a partition the triggers of its table that refuse statements';
CREATE FUNCTION partition_until(name text) RETURNS timestamptz LANGUAGE sql STABLE
RETURN (SELECT CAST(substring(pg_get_expr(relpartbound, oid) FROM 'TO \(''([^'']+)''\)') AS timestamptz)
        FROM pg_class WHERE oid = to_regclass(quote_ident(name)));
COMMENT ON FUNCTION partition_until IS
    'before which time all of a partition lies; null: it takes what no other does, or is none';
CREATE OR REPLACE FUNCTION drop_partition(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF partition_until(name) IS NULL THEN
        RAISE EXCEPTION '% is no partition of a time', name USING ERRCODE = '22023';
    ELSIF partition_until(name) > now() - interval '1 day' THEN
        RAISE EXCEPTION '% is not over for a day yet', name USING ERRCODE = '22023';
    END IF;
    EXECUTE format('DROP TABLE %I', name);
END
$$;
REVOKE EXECUTE ON FUNCTION guard_partition, partition_until FROM PUBLIC;
"""

AUDIT = """
LOCK TABLE audit IN ACCESS EXCLUSIVE MODE;
-- Old processes find the table that takes its place under its name.
-- squawk-ignore renaming-table
ALTER TABLE audit RENAME TO audit_before;
-- squawk-ignore renaming-object
ALTER TABLE audit_before RENAME CONSTRAINT audit_pkey TO audit_before_pkey;
-- squawk-ignore renaming-object
ALTER INDEX audit_at RENAME TO audit_at_before;
CREATE TABLE audit (
    organisation int NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    id bigint NOT NULL,
    who text NOT NULL,
    door text NOT NULL CONSTRAINT audit_door_check CHECK (door IN ('command', 'api', 'console', 'scim')),
    address text,
    act text NOT NULL,
    subject text,
    before jsonb,
    after jsonb,
    outcome text NOT NULL,
    PRIMARY KEY (organisation, at, id)
) PARTITION BY RANGE (at);
COMMENT ON TABLE audit IS 'who did what, append-only. A partition for each month';
ALTER TABLE audit ALTER organisation SET (n_distinct = -0.001, n_distinct_inherited = -0.001);
CREATE INDEX audit_at ON audit (at, id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
ALTER TABLE audit ENABLE ALWAYS TRIGGER append_only;
CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
ALTER TABLE audit ENABLE ALWAYS TRIGGER append_only_rows;
CREATE TABLE audit_other PARTITION OF audit DEFAULT;
COMMENT ON TABLE audit_other IS 'entries of a time for which there is no partition, not yet or not any more';
ALTER TABLE audit_other ALTER organisation SET (n_distinct = -0.001);
SELECT guard_partition('audit_other');
-- The table has one of the same name, which the partition gets.
DROP TRIGGER append_only_rows ON audit_before;
DO $$
DECLARE
    until text := (SELECT substring(pg_get_constraintdef(oid) FROM '''([^'']+)''') FROM pg_constraint
                   WHERE conrelid = 'audit_before'::regclass AND conname = 'audit_lies_before');
    next bigint := nextval(pg_get_serial_sequence('audit_before', 'id'));
BEGIN
    ALTER TABLE audit_before ALTER id DROP IDENTITY;
    ALTER TABLE audit ALTER id ADD GENERATED ALWAYS AS IDENTITY;
    PERFORM setval(pg_get_serial_sequence('audit', 'id'), next, false);
    EXECUTE format('ALTER TABLE audit ATTACH PARTITION audit_before FOR VALUES FROM (MINVALUE) TO (%L)', until);
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = people()) THEN
        EXECUTE format('REVOKE ALL ON audit_before FROM %I', people());
    END IF;
END
$$;
-- The bounds of the partition say the same.
-- squawk-ignore ban-drop-constraint
ALTER TABLE audit_before DROP CONSTRAINT audit_lies_before;
CREATE OR REPLACE FUNCTION forget_audit(kept_days int, most int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz := now() - make_interval(days => kept_days);
    forgotten int;
BEGIN
    IF kept_days < 1 THEN
        RAISE EXCEPTION 'an entry of the audit log is kept for at least a day' USING ERRCODE = '22023';
    END IF;
    PERFORM set_config('rollcall.audit_until', CAST(until AS text), true);
    DELETE FROM audit a
    USING (SELECT organisation, at, id FROM audit WHERE at < until AND at < partition_until('audit_before')
           ORDER BY at, id LIMIT most) old
    WHERE a.organisation = old.organisation AND a.at = old.at AND a.id = old.id
      AND a.at < until AND a.at < partition_until('audit_before');
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    PERFORM set_config('rollcall.audit_until', '', true);
    RETURN forgotten;
END
$$;
COMMENT ON FUNCTION forget_audit IS
    'drop the oldest entries of the first partition that are older than is kept; how many'
"""

DOWN = """
CREATE TABLE audit_whole (LIKE audit INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
ALTER TABLE audit_whole ALTER organisation SET (n_distinct = -0.001);
INSERT INTO audit_whole SELECT * FROM audit;
DO $$
DECLARE
    next bigint := nextval(pg_get_serial_sequence('audit', 'id'));
BEGIN
    DROP TABLE audit;
    ALTER TABLE audit_whole ALTER id ADD GENERATED ALWAYS AS IDENTITY;
    PERFORM setval(pg_get_serial_sequence('audit_whole', 'id'), next, false);
END
$$;
ALTER TABLE audit_whole RENAME TO audit;
ALTER SEQUENCE audit_whole_id_seq RENAME TO audit_id_seq;
ALTER TABLE audit ADD CONSTRAINT audit_pkey PRIMARY KEY (organisation, at, id);
CREATE INDEX audit_at ON audit (at, id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
ALTER TABLE audit ENABLE ALWAYS TRIGGER append_only;
CREATE TRIGGER append_only_rows BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
ALTER TABLE audit ENABLE ALWAYS TRIGGER append_only_rows;
ALTER TABLE audit ADD CONSTRAINT audit_lies_before CHECK (at < 'infinity');
CREATE OR REPLACE FUNCTION forget_audit(kept_days int, most int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz := now() - make_interval(days => kept_days);
    forgotten int;
BEGIN
    IF kept_days < 1 THEN
        RAISE EXCEPTION 'an entry of the audit log is kept for at least a day' USING ERRCODE = '22023';
    END IF;
    PERFORM set_config('rollcall.audit_until', CAST(until AS text), true);
    DELETE FROM audit a
    USING (SELECT organisation, at, id FROM audit WHERE at < until ORDER BY at, id LIMIT most) old
    WHERE a.organisation = old.organisation AND a.at = old.at AND a.id = old.id;
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    PERFORM set_config('rollcall.audit_until', '', true);
    RETURN forgotten;
END
$$;
"""


def upgrade() -> None:
    op.execute(FUNCTIONS + AUDIT)


def downgrade() -> None:
    before = import_module("migrations.versions.0062_attempts_by_month").FUNCTIONS
    op.execute(DOWN + "DROP FUNCTION make_partition, drop_partition, guard_partition, partition_until;" + before)
