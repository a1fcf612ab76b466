"""The deliveries that there are belong to mailings below a number, months ahead: so they can become one partition.

Mailings are numbered by month from 0091 on: 2^30 numbers for each, and 2^40 for each epoch of a cell
(`migrations/carrying.py`).
"""

from alembic import op

revision = "0089"
down_revision = "0088"
branch_labels = None
depends_on = None

oldest = "0037"

UP = """
DO $$
DECLARE
    last bigint := coalesce(pg_sequence_last_value(CAST(pg_get_serial_sequence('mailings', 'mailing') AS regclass)), 0);
    months int := (SELECT (extract(year FROM now() AT TIME ZONE 'UTC') - 2020) * 12
                          + extract(month FROM now() AT TIME ZONE 'UTC'));
    -- Until 0091 nothing above can be written: so whoever stops in between has a month to go on, at least.
    until bigint := (last >> 40 << 40) + (greatest(months, (last & ((1::bigint << 40) - 1)) >> 30) + 2 << 30);
BEGIN
    EXECUTE format('ALTER TABLE deliveries ADD CONSTRAINT deliveries_lie_before CHECK (mailing < %L) NOT VALID', until);
END
$$;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("ALTER TABLE deliveries DROP CONSTRAINT deliveries_lie_before")
