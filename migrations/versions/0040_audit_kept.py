"""The audit log is kept for a time, and nobody fills it with what was refused."""

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

oldest = "0037"

#: The trigger of each statement refuses what it did, but for a DELETE within `forget_audit`; that of each row, by which
#: nothing of the last day is ever dropped, is what bounds it then.
UP = """
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
CREATE TRIGGER append_only_rows BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
ALTER TABLE audit ENABLE ALWAYS TRIGGER append_only_rows;
CREATE FUNCTION forget_audit(kept_days int, most int) RETURNS int LANGUAGE plpgsql AS $$
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
COMMENT ON FUNCTION forget_audit IS 'drop the oldest entries that are older than is kept, so many at most; how many';
REVOKE EXECUTE ON FUNCTION forget_audit FROM PUBLIC;
CREATE TABLE audit_refusals (
    organisation int NOT NULL,
    who text NOT NULL,
    door text NOT NULL,
    address text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    refused int NOT NULL DEFAULT 1,
    PRIMARY KEY (organisation, who, door, address)
);
ALTER TABLE audit_refusals ALTER organisation SET (n_distinct = -0.001);
CREATE INDEX audit_refusals_since ON audit_refusals (since);
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("DROP TABLE audit_refusals; DROP TRIGGER append_only_rows ON audit; DROP FUNCTION forget_audit")
