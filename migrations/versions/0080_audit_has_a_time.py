"""The entries of the audit log that there are lie before a time, months ahead: so they can become one partition."""

from alembic import op

revision = "0080"
down_revision = "0077"
branch_labels = None
depends_on = None

oldest = "0037"

UP = """
DO $$
DECLARE
    -- Until 0082 nothing later can be written: so whoever stops in between has a month to go on, at least.
    until timestamptz := (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '2 months') AT TIME ZONE 'UTC';
BEGIN
    EXECUTE format('ALTER TABLE audit ADD CONSTRAINT audit_lies_before CHECK (at < %L) NOT VALID', until);
END
$$;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("ALTER TABLE audit DROP CONSTRAINT audit_lies_before")
