"""Cells: which there are, which organisation lives in which other one, and which has left this one."""

from alembic import op

revision = "0088"
down_revision = "0087"
branch_labels = None
depends_on = None

oldest = "0037"

UP = """
CREATE TABLE cells (
    name text PRIMARY KEY,
    number int NOT NULL UNIQUE,
    epoch int NOT NULL UNIQUE,
    installation uuid NOT NULL UNIQUE,
    added_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE directory (
    id text PRIMARY KEY,
    number int,
    cell text NOT NULL,
    moves_to text,
    since timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX directory_numbers ON directory (number);
CREATE TABLE departed (
    id text PRIMARY KEY,
    number int,
    described jsonb,
    cell text,
    since timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX departed_numbers ON departed (number);
CREATE FUNCTION reserve_organisations(ids text[]) RETURNS TABLE (id text, cell text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7402, hashtext(ordered.named))
    FROM (SELECT named FROM unnest(ids) AS asked (named) ORDER BY hashtext(named), named OFFSET 0) ordered;
    RETURN QUERY SELECT d.id, d.cell FROM departed d WHERE d.id = ANY(ids);
END
$$;
COMMENT ON FUNCTION reserve_organisations IS
    'locks ids under which no organisation was found, until the transaction ends; those that have left this cell';
REVOKE EXECUTE ON FUNCTION reserve_organisations FROM PUBLIC;
"""

#: What an organisation leaves here that lives elsewhere may be deleted, its ledger and its audit log as well.
LEDGERS = ("consumptions", "reviews", "settled_reviews")
FORGETTING = """
CREATE FUNCTION forgets(organisation int) RETURNS boolean LANGUAGE sql STABLE
RETURN EXISTS (SELECT FROM departed d WHERE d.number = forgets.organisation AND d.cell IS NOT NULL);
COMMENT ON FUNCTION forgets IS
    'whether an organisation lives elsewhere, so that what is left here of it may be deleted';
REVOKE EXECUTE ON FUNCTION forgets FROM PUBLIC;
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('rollcall.forgets', true) = 'on' THEN
        IF TG_LEVEL = 'STATEMENT' THEN
            RETURN NULL;
        ELSIF forgets(OLD.organisation) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'the ledger is append-only: % on % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = '42501';
END
$$;
CREATE OR REPLACE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz := nullif(current_setting('rollcall.audit_until', true), '');
    moved boolean := current_setting('rollcall.forgets', true) = 'on';
BEGIN
    IF TG_OP = 'DELETE' AND TG_LEVEL = 'STATEMENT' AND (until IS NOT NULL OR moved) THEN
        RETURN NULL;
    ELSIF TG_OP = 'DELETE' AND TG_LEVEL = 'ROW'
          AND (OLD.at < least(until, now() - interval '1 day') AND until IS NOT NULL
               OR moved AND forgets(OLD.organisation)) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only: % is refused', TG_OP USING ERRCODE = '42501';
END
$$;
"""
GUARD = """
CREATE TRIGGER append_only_rows BEFORE DELETE ON {0} FOR EACH ROW EXECUTE FUNCTION refuse_change();
ALTER TABLE {0} ENABLE ALWAYS TRIGGER append_only_rows;
"""

#: The functions as they were.
BEFORE = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: % on % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = '42501';
END
$$;
CREATE OR REPLACE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz := nullif(current_setting('rollcall.audit_until', true), '');
BEGIN
    IF TG_OP = 'DELETE' AND TG_LEVEL = 'STATEMENT' AND until IS NOT NULL THEN
        RETURN NULL;
    ELSIF TG_OP = 'DELETE' AND TG_LEVEL = 'ROW' AND OLD.at < least(until, now() - interval '1 day') THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only: % is refused', TG_OP USING ERRCODE = '42501';
END
$$;
DROP FUNCTION forgets;
"""


def upgrade() -> None:
    op.execute(UP)
    op.execute(FORGETTING)
    for ledger in LEDGERS:
        op.execute(GUARD.format(ledger))


def downgrade() -> None:
    for ledger in LEDGERS:
        op.execute(f"DROP TRIGGER append_only_rows ON {ledger}")
    op.execute(BEFORE)
    op.execute("DROP FUNCTION reserve_organisations")
    op.execute("DROP TABLE cells, directory, departed")
