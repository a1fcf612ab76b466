"""Entries of the ledger are found by when they happened, without looking at those before."""

from alembic import op

from migrations.indexes import create

revision = "0076"
down_revision = "0075"
branch_labels = None
depends_on = None

oldest = "0037"

#: Built before, while starts are charged.
indexes = {"consumptions_by_time": "ON consumptions (organisation, occurred_at, consumption)"}


def upgrade() -> None:
    create(indexes)


def downgrade() -> None:
    op.execute("DROP INDEX consumptions_by_time")
