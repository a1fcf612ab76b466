"""The attempts that there are lie before a time, months ahead: so they can become one partition."""

from alembic import op

revision = "0060"
down_revision = "0050"
branch_labels = None
depends_on = None

oldest = "0037"

UP = """
DO $$
DECLARE
    -- Until 0062 nothing later can be written: so whoever stops in between has a month to go on, at least.
    until timestamptz := (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '2 months') AT TIME ZONE 'UTC';
BEGIN
    EXECUTE format('ALTER TABLE attempts ADD CONSTRAINT attempts_lie_before'
                   ' CHECK (attempted_at < %L) NOT VALID', until);
END
$$;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("ALTER TABLE attempts DROP CONSTRAINT attempts_lie_before")
