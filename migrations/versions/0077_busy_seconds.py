"""Samples say for how long workers were at work, so that `pools advise` can reckon."""

from alembic import op

revision = "0077"
down_revision = "0076"
branch_labels = None
depends_on = None

oldest = "0037"


def upgrade() -> None:
    op.execute("ALTER TABLE samples ADD busy_seconds double precision")


def downgrade() -> None:
    op.execute("ALTER TABLE samples DROP busy_seconds")
