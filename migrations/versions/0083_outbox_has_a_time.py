"""The events out that there are lie before a time, months ahead: so they can become one partition.

The indexes that a partition needs are built meanwhile: a key with the time in it, and the order of events.
"""

from alembic import op

from migrations.indexes import create

revision = "0083"
down_revision = "0082"
branch_labels = None
depends_on = None

oldest = "0037"

indexes = {
    "outbox_key_with_time": "UNIQUE ON outbox (organisation, seq, time)",
    "outbox_in_order": "ON outbox (position) WHERE position IS NOT NULL",
}

UP = """
DO $$
DECLARE
    -- Until 0085 nothing later can be written: so whoever stops in between has a month to go on, at least.
    until timestamptz := (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '2 months') AT TIME ZONE 'UTC';
BEGIN
    EXECUTE format('ALTER TABLE outbox ADD CONSTRAINT outbox_lies_before CHECK (time < %L) NOT VALID', until);
END
$$;
"""


def upgrade() -> None:
    create(indexes)
    op.execute(UP)


def downgrade() -> None:
    op.execute(
        "ALTER TABLE outbox DROP CONSTRAINT outbox_lies_before; DROP INDEX outbox_key_with_time, outbox_in_order"
    )
