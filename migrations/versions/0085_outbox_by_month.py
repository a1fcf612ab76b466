"""Events out lie in partitions, one for each month: the relay makes them ahead and drops them, and deletes no row.

The table that there was becomes the first partition, as it is. Only the catalogue is written, and the locks last for as
long as that takes. A place in the order is given by one statement, to one event (`order_next.sql`): a unique index over
all partitions would have to hold the time as well, and so prove nothing. `rollcall verify` looks for two.
"""

from alembic import op

revision = "0085"
down_revision = "0084"
branch_labels = None
depends_on = None

oldest = "0037"

#: Its argument is a row of the table, whatever that is called by now.
IS_FOR = """
CREATE FUNCTION is_for(event outbox, webhook webhooks) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (webhook.organisation = 0 OR event.organisation = webhook.organisation)
       AND (webhook.types IS NULL OR event.type = ANY(webhook.types))
$$;
COMMENT ON FUNCTION is_for IS 'whether an event is for a webhook: of its organisation, or of anybody, and of its types';
"""

#: Who asks meanwhile waits for the lock of the table.
DROP_IS_FOR = """
-- squawk-ignore ban-drop-function
DROP FUNCTION is_for;
"""

WAKE = """
CREATE TRIGGER wake AFTER INSERT ON outbox REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION wake_relay();
"""

OUTBOX = """
LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE;
DROP TRIGGER wake ON outbox;
-- Old processes find the table that takes its place under its name.
-- squawk-ignore renaming-table
ALTER TABLE outbox RENAME TO outbox_before;
-- The index that takes its place is there.
-- squawk-ignore ban-drop-constraint
ALTER TABLE outbox_before DROP CONSTRAINT outbox_pkey;
ALTER TABLE outbox_before ADD CONSTRAINT outbox_before_pkey PRIMARY KEY USING INDEX outbox_key_with_time;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX outbox_position;
-- squawk-ignore renaming-object
ALTER INDEX outbox_in_order RENAME TO outbox_position_before;
-- squawk-ignore renaming-object
ALTER INDEX outbox_unordered RENAME TO outbox_unordered_before;
-- squawk-ignore renaming-object
ALTER INDEX outbox_usernames RENAME TO outbox_usernames_before;
CREATE TABLE outbox (
    organisation int NOT NULL,
    seq bigint NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    type text NOT NULL,
    time timestamptz NOT NULL DEFAULT now(),
    data json NOT NULL,
    position bigint,
    traceparent text DEFAULT nullif(current_setting('rollcall.traceparent', true), ''),
    PRIMARY KEY (organisation, seq, time)
) PARTITION BY RANGE (time);
COMMENT ON TABLE outbox IS 'events out, kept for as long as they may be published again. A partition for each month';
ALTER TABLE outbox ALTER organisation SET (n_distinct = -0.001, n_distinct_inherited = -0.001);
ALTER TABLE outbox ALTER data SET STORAGE EXTERNAL;
CREATE INDEX outbox_position ON outbox (position) WHERE position IS NOT NULL;
CREATE INDEX outbox_unordered ON outbox (seq) WHERE position IS NULL;
CREATE INDEX outbox_usernames ON outbox (organisation, (data ->> 'learner'))
    WHERE type = 'rollcall.learner.password_void';
CREATE TABLE outbox_other PARTITION OF outbox DEFAULT;
COMMENT ON TABLE outbox_other IS 'events out of a time for which there is no partition, not yet or not any more';
ALTER TABLE outbox_other ALTER organisation SET (n_distinct = -0.001);
DO $$
DECLARE
    until text := (SELECT substring(pg_get_constraintdef(oid) FROM '''([^'']+)''') FROM pg_constraint
                   WHERE conrelid = 'outbox_before'::regclass AND conname = 'outbox_lies_before');
    next bigint := nextval(pg_get_serial_sequence('outbox_before', 'seq'));
BEGIN
    ALTER TABLE outbox_before ALTER seq DROP IDENTITY;
    ALTER TABLE outbox ALTER seq ADD GENERATED ALWAYS AS IDENTITY;
    PERFORM setval(pg_get_serial_sequence('outbox', 'seq'), next, false);
    EXECUTE format('ALTER TABLE outbox ATTACH PARTITION outbox_before FOR VALUES FROM (MINVALUE) TO (%L)', until);
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = people()) THEN
        EXECUTE format('REVOKE ALL ON outbox_before FROM %I', people());
    END IF;
END
$$;
-- The bounds of the partition say the same.
-- squawk-ignore ban-drop-constraint
ALTER TABLE outbox_before DROP CONSTRAINT outbox_lies_before;
"""

SINCE = r"""
CREATE FUNCTION kept_since(of_table text) RETURNS timestamptz LANGUAGE sql STABLE
RETURN (
    SELECT coalesce(min(CASE WHEN bound LIKE 'FOR VALUES FROM (MINVALUE)%' THEN timestamptz '-infinity'
                             ELSE CAST(substring(bound FROM 'FROM \(''([^'']+)''\)') AS timestamptz) END), '-infinity')
    FROM (SELECT pg_get_expr(relpartbound, c.oid) AS bound FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
          WHERE inhparent = to_regclass(quote_ident(of_table))) partitions);
COMMENT ON FUNCTION kept_since IS
    'since when all of a table is there: what came before is dropped; -infinity: nothing is';
"""

DOWN = """
CREATE TABLE outbox_whole (LIKE outbox INCLUDING DEFAULTS INCLUDING STORAGE);
ALTER TABLE outbox_whole ALTER organisation SET (n_distinct = -0.001);
INSERT INTO outbox_whole SELECT * FROM outbox;
DROP FUNCTION is_for;
DO $$
DECLARE
    next bigint := nextval(pg_get_serial_sequence('outbox', 'seq'));
BEGIN
    DROP TABLE outbox;
    ALTER TABLE outbox_whole ALTER seq ADD GENERATED ALWAYS AS IDENTITY;
    PERFORM setval(pg_get_serial_sequence('outbox_whole', 'seq'), next, false);
END
$$;
ALTER TABLE outbox_whole RENAME TO outbox;
ALTER SEQUENCE outbox_whole_seq_seq RENAME TO outbox_seq_seq;
ALTER TABLE outbox ADD CONSTRAINT outbox_pkey PRIMARY KEY (organisation, seq);
CREATE UNIQUE INDEX outbox_key_with_time ON outbox (organisation, seq, time);
CREATE UNIQUE INDEX outbox_position ON outbox (position) WHERE position IS NOT NULL;
CREATE INDEX outbox_in_order ON outbox (position) WHERE position IS NOT NULL;
CREATE INDEX outbox_unordered ON outbox (seq) WHERE position IS NULL;
CREATE INDEX outbox_usernames ON outbox (organisation, (data ->> 'learner'))
    WHERE type = 'rollcall.learner.password_void';
ALTER TABLE outbox ADD CONSTRAINT outbox_lies_before CHECK (time < 'infinity');
DROP FUNCTION kept_since;
"""


def upgrade() -> None:
    op.execute(OUTBOX + DROP_IS_FOR + IS_FOR + WAKE + SINCE)


def downgrade() -> None:
    op.execute(DOWN + IS_FOR + WAKE)
