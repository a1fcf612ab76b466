"""Attempts lie in partitions, one for each month: the relay makes them ahead and drops them, and deletes no row.

The table that there was becomes the first partition, as it is: its rows, and the index of its key. Only the catalogue
is written, and the locks last for as long as that takes.
"""

from alembic import op

revision = "0062"
down_revision = "0061"
branch_labels = None
depends_on = None

oldest = "0037"

#: What there is for every table of partitions.
FUNCTIONS = """
CREATE FUNCTION make_partition(of_table text, low timestamptz, high timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    name text := of_table || to_char(low AT TIME ZONE 'UTC', '"_"YYYY"_"MM');
    other text := of_table || '_other';
    at text := (SELECT attname FROM pg_partitioned_table JOIN pg_attribute ON attrelid = partrelid
                WHERE partrelid = to_regclass(quote_ident(of_table)) AND attnum = partattrs[0]);
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING STORAGE)', name, of_table);
    EXECUTE format('ALTER TABLE %I ALTER organisation SET (n_distinct = -0.001)', name);
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', other);
    EXECUTE format('WITH came_before AS (DELETE FROM %1$I WHERE %2$I >= %3$L AND %2$I < %4$L RETURNING *)'
                   ' INSERT INTO %5$I SELECT * FROM came_before', other, at, low, high, name);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', of_table, name, low, high);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = people()) THEN
        EXECUTE format('CREATE POLICY own_organisation ON %I TO %I USING (organisation = served())', name, people());
        EXECUTE format('GRANT SELECT ON %I TO %I', name, people());
    END IF;
    RETURN name;
END
$$;
COMMENT ON FUNCTION make_partition IS
    'makes the partition of a table from one time to another, with the rows that came before there was one; its name';
CREATE FUNCTION drop_partition(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass(quote_ident(name)) AND relispartition
                   AND pg_get_expr(relpartbound, oid) <> 'DEFAULT') THEN
        RAISE EXCEPTION '% is no partition of a time', name USING ERRCODE = '22023';
    END IF;
    EXECUTE format('DROP TABLE %I', name);
END
$$;
COMMENT ON FUNCTION drop_partition IS 'drops a partition of a time, with its rows';
REVOKE EXECUTE ON FUNCTION make_partition, drop_partition FROM PUBLIC;
"""

ATTEMPTS = """
-- Old processes find the table that takes its place under its name.
-- squawk-ignore renaming-table
ALTER TABLE attempts RENAME TO attempts_before;
-- squawk-ignore renaming-object
ALTER TABLE attempts_before RENAME CONSTRAINT attempts_pkey TO attempts_before_pkey;
CREATE TABLE attempts (
    organisation int NOT NULL,
    mailing bigint NOT NULL,
    recipient int NOT NULL,
    attempted_at timestamptz NOT NULL,
    code smallint,
    reason text NOT NULL,
    reply text,
    address text,
    PRIMARY KEY (organisation, mailing, recipient, attempted_at)
) PARTITION BY RANGE (attempted_at);
COMMENT ON TABLE attempts IS
    'attempts that settled nothing; the one that did is the delivery itself (R18). A partition for each month';
ALTER TABLE attempts ALTER organisation SET (n_distinct = -0.001, n_distinct_inherited = -0.001);
CREATE TABLE attempts_other PARTITION OF attempts DEFAULT;
COMMENT ON TABLE attempts_other IS 'attempts of a time for which there is no partition, not yet or not any more';
ALTER TABLE attempts_other ALTER organisation SET (n_distinct = -0.001);
DO $$
DECLARE
    until text := (SELECT substring(pg_get_constraintdef(oid) FROM '''([^'']+)''') FROM pg_constraint
                   WHERE conrelid = 'attempts_before'::regclass AND conname = 'attempts_lie_before');
BEGIN
    EXECUTE format('ALTER TABLE attempts ATTACH PARTITION attempts_before FOR VALUES FROM (MINVALUE) TO (%L)', until);
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = people()) THEN
        EXECUTE format('REVOKE ALL ON attempts_before FROM %I', people());
    END IF;
END
$$;
-- The bounds of the partition say the same.
-- squawk-ignore ban-drop-constraint
ALTER TABLE attempts_before DROP CONSTRAINT attempts_lie_before
"""


def upgrade() -> None:
    op.execute(FUNCTIONS + ATTEMPTS)


def downgrade() -> None:
    op.execute(
        """
        CREATE TABLE attempts_whole (LIKE attempts INCLUDING ALL);
        ALTER TABLE attempts_whole ALTER organisation SET (n_distinct = -0.001);
        INSERT INTO attempts_whole SELECT * FROM attempts;
        DROP TABLE attempts;
        ALTER TABLE attempts_whole RENAME TO attempts;
        ALTER TABLE attempts RENAME CONSTRAINT attempts_whole_pkey TO attempts_pkey;
        ALTER TABLE attempts ADD CONSTRAINT attempts_lie_before CHECK (attempted_at < 'infinity');
        DROP FUNCTION make_partition, drop_partition
        """
    )
