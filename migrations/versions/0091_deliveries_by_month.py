"""Deliveries lie in partitions, one for each month of mailings: the relay makes them ahead and drops them.

A delivery names no time that is known when it is written, and every statement about it names its mailing. So mailings
are numbered by month: the relay's chore moves their sequence on as a month begins, and a month is a range of numbers.

The table that there was becomes the first partition, as it is: its rows, and the index of its key. Only the catalogue
is written, and the locks last for as long as that takes.
"""

from importlib import import_module

from alembic import op

revision = "0091"
down_revision = "0090"
branch_labels = None
depends_on = None

oldest = "0037"

NUMBERS = """
CREATE FUNCTION number_of_month(month timestamptz) RETURNS bigint LANGUAGE sql STABLE
RETURN (coalesce(pg_sequence_last_value(CAST(pg_get_serial_sequence('mailings', 'mailing') AS regclass)), 0)
        >> 40 << 40)
    + (CAST((extract(year FROM month AT TIME ZONE 'UTC') - 2020) * 12
            + extract(month FROM month AT TIME ZONE 'UTC') AS bigint) << 30);
COMMENT ON FUNCTION number_of_month IS
    'the lowest number that a mailing of a month has, in the epoch of this cell: there are 2^30 for each month';
CREATE FUNCTION month_of_number(mailing bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (timestamp '2019-12-01' + make_interval(months => CAST(mailing >> 30 & 1023 AS int))) AT TIME ZONE 'UTC';
COMMENT ON FUNCTION month_of_number IS 'the beginning of the month of which the number of a mailing is';
CREATE FUNCTION same_month(mailing bigint, other bigint) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN mailing >= other >> 30 << 30 AND mailing < (other >> 30) + 1 << 30;
COMMENT ON FUNCTION same_month IS
    'whether two mailings have numbers of one month: by it PostgreSQL chooses the partition of a ledger';
CREATE FUNCTION in_months(mailing bigint, lowest bigint, highest bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN mailing >= lowest >> 30 << 30 AND mailing < (highest >> 30) + 1 << 30;
COMMENT ON FUNCTION in_months IS
    'whether a mailing has a number of the months from that of one mailing to that of another';
REVOKE EXECUTE ON FUNCTION number_of_month, month_of_number FROM PUBLIC;
"""

#: What there is for every table of partitions. A partition has the storage parameters of the default one. If the table
#: is divided by the numbers of mailings, the bounds of a month are numbers.
FUNCTIONS = r"""
CREATE FUNCTION make_partition_within(of_table text, name text, low text, high text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    other text := of_table || '_other';
    at text := (SELECT attname FROM pg_partitioned_table JOIN pg_attribute ON attrelid = partrelid
                WHERE partrelid = to_regclass(quote_ident(of_table)) AND attnum = partattrs[0]);
    parameters text := (SELECT array_to_string(reloptions, ', ') FROM pg_class
                        WHERE oid = to_regclass(quote_ident(other)));
    guard name;
    guards name[] := ARRAY(SELECT tgname FROM pg_trigger
                           WHERE tgrelid = to_regclass(quote_ident(other)) AND tgenabled = 'A');
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING CONSTRAINTS)', name,
                   of_table);
    IF parameters <> '' THEN
        EXECUTE format('ALTER TABLE %I SET (%s)', name, parameters);
    END IF;
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
END
$$;
COMMENT ON FUNCTION make_partition_within IS
    'makes the partition of a table between two bounds, with the rows that came before there was one';
CREATE FUNCTION is_by_number(of_table text) RETURNS boolean LANGUAGE sql STABLE
RETURN EXISTS (SELECT FROM pg_partitioned_table JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0]
               WHERE partrelid = to_regclass(quote_ident(of_table)) AND atttypid = CAST('bigint' AS regtype));
COMMENT ON FUNCTION is_by_number IS 'whether a table is divided by the numbers of mailings, and not by a time';
CREATE OR REPLACE FUNCTION make_partition(of_table text, low timestamptz, high timestamptz)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    name text := of_table || to_char(low AT TIME ZONE 'UTC', '"_"YYYY"_"MM');
BEGIN
    IF is_by_number(of_table) THEN
        RETURN make_numbered_partition(of_table, number_of_month(low));
    END IF;
    PERFORM make_partition_within(of_table, name, CAST(low AS text), CAST(high AS text));
    RETURN name;
END
$$;
CREATE FUNCTION make_numbered_partition(of_table text, low bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    name text := of_table || to_char(month_of_number(low) AT TIME ZONE 'UTC', '"_"YYYY"_"MM')
                 || coalesce('_' || nullif(low >> 40, 0), '');
BEGIN
    PERFORM make_partition_within(of_table, name, CAST(low AS text), CAST(low + (1::bigint << 30) AS text));
    RETURN name;
END
$$;
COMMENT ON FUNCTION make_numbered_partition IS
    'makes the partition of a table for the month whose lowest number of a mailing this is; its name';
CREATE FUNCTION partition_below(name text) RETURNS bigint LANGUAGE sql STABLE
RETURN (SELECT CAST(substring(pg_get_expr(relpartbound, oid) FROM 'TO \(''(\d+)''\)') AS bigint)
        FROM pg_class WHERE oid = to_regclass(quote_ident(name)));
COMMENT ON FUNCTION partition_below IS
    'below which number the mailings of a partition are; null: it takes what no other does, or is by time';
CREATE OR REPLACE FUNCTION partition_until(name text) RETURNS timestamptz LANGUAGE sql STABLE
RETURN (SELECT CASE WHEN partition_below(name) IS NOT NULL THEN month_of_number(partition_below(name))
                    ELSE CAST(substring(pg_get_expr(relpartbound, oid) FROM 'TO \(''([^'']+)''\)') AS timestamptz) END
        FROM pg_class WHERE oid = to_regclass(quote_ident(name)));
CREATE FUNCTION hold_partition(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('LOCK TABLE %I IN SHARE MODE', name);
END
$$;
COMMENT ON FUNCTION hold_partition IS 'lets nobody write into a partition until the transaction ends';
REVOKE EXECUTE ON FUNCTION make_partition_within, is_by_number, make_numbered_partition, partition_below,
    hold_partition FROM PUBLIC;
"""

DELIVERIES = """
LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE;
-- Old processes find the table that takes its place under its name.
-- squawk-ignore renaming-table
ALTER TABLE deliveries RENAME TO deliveries_before;
-- squawk-ignore renaming-object
ALTER TABLE deliveries_before RENAME CONSTRAINT deliveries_pkey TO deliveries_before_pkey;
CREATE TABLE deliveries (
    organisation int NOT NULL,
    mailing bigint NOT NULL,
    recipient int NOT NULL,
    state delivery_state NOT NULL,
    attempts smallint NOT NULL DEFAULT 0,
    code smallint,
    settled_at timestamptz,
    due_at timestamptz,
    reason text,
    reply text,
    address text,
    PRIMARY KEY (organisation, mailing, recipient)
) PARTITION BY RANGE (mailing);
COMMENT ON TABLE deliveries IS
    'the ledger of mail: one row for each mailing and recipient, written before anything is sent (R18). A partition for'
    ' each month of mailings';
ALTER TABLE deliveries ALTER organisation SET (n_distinct = -0.001, n_distinct_inherited = -0.001);
CREATE TABLE deliveries_other PARTITION OF deliveries DEFAULT WITH (fillfactor = 85);
COMMENT ON TABLE deliveries_other IS
    'deliveries of mailings for whose numbers there is no partition, not yet or not any more';
ALTER TABLE deliveries_other ALTER organisation SET (n_distinct = -0.001);
DO $$
DECLARE
    until text := (SELECT substring(pg_get_constraintdef(oid) FROM '''?(\\d+)''?') FROM pg_constraint
                   WHERE conrelid = 'deliveries_before'::regclass AND conname = 'deliveries_lie_before');
BEGIN
    EXECUTE format('ALTER TABLE deliveries ATTACH PARTITION deliveries_before FOR VALUES FROM (MINVALUE) TO (%L)',
                   until);
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = people()) THEN
        EXECUTE format('REVOKE ALL ON deliveries_before FROM %I', people());
    END IF;
END
$$;
-- The bounds of the partition say the same.
-- squawk-ignore ban-drop-constraint
ALTER TABLE deliveries_before DROP CONSTRAINT deliveries_lie_before;
"""

DOWN = """
CREATE TABLE deliveries_whole (LIKE deliveries INCLUDING DEFAULTS INCLUDING STORAGE) WITH (fillfactor = 85);
ALTER TABLE deliveries_whole ALTER organisation SET (n_distinct = -0.001);
INSERT INTO deliveries_whole SELECT * FROM deliveries;
DROP TABLE deliveries;
ALTER TABLE deliveries_whole RENAME TO deliveries;
ALTER TABLE deliveries ADD CONSTRAINT deliveries_pkey PRIMARY KEY (organisation, mailing, recipient);
DROP FUNCTION make_partition, make_numbered_partition, make_partition_within, is_by_number, drop_partition,
    guard_partition, partition_until, partition_below, hold_partition, number_of_month, month_of_number, same_month,
    in_months;
"""


def upgrade() -> None:
    op.execute(NUMBERS + FUNCTIONS + DELIVERIES)


def downgrade() -> None:
    of_before = import_module("migrations.versions.0062_attempts_by_month").FUNCTIONS
    made_so = import_module("migrations.versions.0082_audit_by_month").FUNCTIONS
    lie_before = import_module("migrations.versions.0089_deliveries_have_an_end").UP
    op.execute(DOWN + of_before + made_so + lie_before)
    op.execute("ALTER TABLE deliveries VALIDATE CONSTRAINT deliveries_lie_before")
