"""The ids of events in lie in periods: the relay begins one and drops the one before the last, and deletes no row.

`inbox` stays for what is held. That an event came is written to `arrivals`, by one function, which the processes of
before call through a trigger as they insert into `inbox`. What came before the migration stays known where it is: the
function asks `inbox` as well. Nothing is read or copied.
"""

from alembic import op

revision = "0092"
down_revision = "0091"
branch_labels = None
depends_on = None

oldest = "0037"

ARRIVALS = """
CREATE TABLE arrivals (
    id text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    organisation text COLLATE "C" NOT NULL,
    since timestamptz NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (id, source, organisation, since)
) PARTITION BY LIST (since);
COMMENT ON TABLE arrivals IS
    'which events came in, known for as long as they may come again. A partition for each period';
COMMENT ON COLUMN arrivals.id IS 'of the event';
COMMENT ON COLUMN arrivals.source IS 'with id and organisation: which event it is';
COMMENT ON COLUMN arrivals.organisation IS 'the platform''s id, since it may not be saved yet';
COMMENT ON COLUMN arrivals.since IS 'when the period began in which it came';
COMMENT ON COLUMN arrivals.seq IS 'in the order of arrival';
"""

#: Whoever writes has the table's lock until the transaction ends, and sees what was committed before it had it. So all
#: that is in a period is seen by whoever writes into the next one.
PERIODS = """
CREATE FUNCTION current_period() RETURNS timestamptz LANGUAGE sql STABLE RETURN timestamptz '-infinity';
COMMENT ON FUNCTION current_period IS 'the period of arrivals in which events come now: replaced as another begins';
ALTER TABLE arrivals ALTER since SET DEFAULT current_period();
CREATE FUNCTION begin_period() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz;
    name text;
BEGIN
    LOCK TABLE arrivals IN ACCESS EXCLUSIVE MODE;
    since := greatest(clock_timestamp(), current_period() + interval '1 second');
    name := 'arrivals_' || to_char(since AT TIME ZONE 'UTC', 'YYYY_MM_DD_HH24MISS');
    EXECUTE format('CREATE TABLE %I PARTITION OF arrivals FOR VALUES IN (%L)', name, since);
    EXECUTE format('CREATE OR REPLACE FUNCTION current_period() RETURNS timestamptz LANGUAGE sql STABLE'
                   ' RETURN timestamptz %L', since);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = people()) THEN
        EXECUTE format('CREATE POLICY own_organisation ON %I TO %I USING (organisation ='
                       ' (SELECT o.id FROM organisations o WHERE o.organisation = served()))', name, people());
        EXECUTE format('GRANT SELECT ON %I TO %I', name, people());
    END IF;
    RETURN name;
END
$$;
COMMENT ON FUNCTION begin_period IS 'begins a period of arrivals, with a partition of its own; its name';
CREATE FUNCTION drop_period(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
                   WHERE inhparent = CAST('arrivals' AS regclass) AND c.oid = to_regclass(quote_ident(name))
                     AND CAST(substring(pg_get_expr(c.relpartbound, c.oid) FROM '''([^'']+)''') AS timestamptz)
                         < current_period()) THEN
        RAISE EXCEPTION '% is no period that is over', name USING ERRCODE = '22023';
    END IF;
    EXECUTE format('DROP TABLE %I', name);
END
$$;
COMMENT ON FUNCTION drop_period IS 'drops a period of arrivals after which another has begun, with its rows';
REVOKE EXECUTE ON FUNCTION begin_period, drop_period, current_period FROM PUBLIC;
SELECT begin_period();
"""

#: One snapshot sees both tables, and what is settled goes from one to the other in one transaction. Two at once meet in
#: the key of the period. The plan is made once for a session and a period, with the periods before it alone, and looks
#: each event up, however small a table was then.
CLAIM = """
CREATE FUNCTION claim_events(sources text[], ids text[], organisations text[])
RETURNS TABLE (seq bigint, organisation text, source text, id text) LANGUAGE plpgsql
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'events are claimed in a transaction that sees what others commit' USING ERRCODE = '25001';
    END IF;
    RETURN QUERY
    INSERT INTO arrivals AS claimed (source, id, organisation)
    SELECT new.source, new.id, new.organisation
    FROM unnest(sources, ids, organisations) AS new (source, id, organisation)
    WHERE (SELECT true FROM arrivals a
           WHERE a.id = new.id AND a.source = new.source AND a.organisation = new.organisation
             AND a.since < current_period() LIMIT 1) IS NULL
      AND (SELECT true FROM inbox i
           WHERE i.source = new.source AND i.id = new.id AND i.organisation = new.organisation
             AND i.reason IS DISTINCT FROM 'malformed' LIMIT 1) IS NULL
    ON CONFLICT DO NOTHING
    RETURNING claimed.seq, claimed.organisation, claimed.source, claimed.id;
END
$$;
COMMENT ON FUNCTION claim_events IS 'those of these events that nobody took before, which are ours from now on (R32)';
REVOKE EXECUTE ON FUNCTION claim_events FROM PUBLIC;
"""

#: Old processes give no number.
INBOX = """
LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE;
DO $$
DECLARE
    next bigint := nextval(pg_get_serial_sequence('inbox', 'seq'));
BEGIN
    ALTER TABLE inbox ALTER seq DROP IDENTITY;
    ALTER TABLE arrivals ALTER seq ADD GENERATED ALWAYS AS IDENTITY;
    PERFORM setval(pg_get_serial_sequence('arrivals', 'seq'), greatest(next - 1, 1), next > 1);
END
$$;
CREATE FUNCTION claim_as_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.reason = 'malformed' OR NEW.organisation IS NULL THEN
        NEW.seq := nextval(pg_get_serial_sequence('arrivals', 'seq'));
    ELSE
        NEW.seq := (SELECT c.seq FROM claim_events(ARRAY[NEW.source], ARRAY[NEW.id], ARRAY[NEW.organisation]) c);
        IF NEW.seq IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION claim_as_before IS 'has an event that version 0.1.0 inserts known in arrivals, or left out';
REVOKE EXECUTE ON FUNCTION claim_as_before FROM PUBLIC;
CREATE TRIGGER claim_as_before BEFORE INSERT ON inbox FOR EACH ROW WHEN (NEW.seq IS NULL)
    EXECUTE FUNCTION claim_as_before();
COMMENT ON TABLE inbox IS 'events in that wait, are quarantined, or were decided on; and those that 0.1.0 took';
"""

DOWN = """
LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE;
DROP TRIGGER claim_as_before ON inbox;
DO $$
DECLARE
    next bigint := nextval(pg_get_serial_sequence('arrivals', 'seq'));
BEGIN
    INSERT INTO inbox (seq, source, id, organisation, state)
    SELECT seq, source, id, organisation, 'applied' FROM arrivals ON CONFLICT DO NOTHING;
    DROP TABLE arrivals;
    ALTER TABLE inbox ALTER seq ADD GENERATED ALWAYS AS IDENTITY;
    PERFORM setval(pg_get_serial_sequence('inbox', 'seq'), next, false);
END
$$;
DROP FUNCTION claim_as_before, claim_events, begin_period, drop_period, current_period;
COMMENT ON TABLE inbox IS 'events in: that they were seen, and those that wait or are quarantined, with their bytes';
"""


def upgrade() -> None:
    op.execute(ARRIVALS + PERIODS + CLAIM + INBOX)


def downgrade() -> None:
    op.execute(DOWN)
