"""The audit log, append-only."""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE audit (
    organisation int NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    who text NOT NULL,
    door text NOT NULL CHECK (door IN ('command', 'api', 'console', 'scim')),
    address text,
    act text NOT NULL,
    subject text,
    before jsonb,
    after jsonb,
    outcome text NOT NULL,
    PRIMARY KEY (organisation, at, id)
);
ALTER TABLE audit ALTER organisation SET (n_distinct = -0.001);
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % is refused', TG_OP USING ERRCODE = '42501';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
ALTER TABLE audit ENABLE ALWAYS TRIGGER append_only;
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(UP)


def downgrade() -> None:
    op.execute("DROP TABLE audit; DROP FUNCTION refuse_audit_change()")
