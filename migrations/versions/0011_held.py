"""What could not be taken, and what people decided on it, found in the order in which it arrived."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX inbox_held_in_order ON inbox (seq) WHERE state IN ('waiting', 'quarantined')")
    op.execute("CREATE INDEX inbox_decided ON inbox (seq) WHERE state IN ('released', 'discarded')")


def downgrade() -> None:
    op.execute("DROP INDEX inbox_decided, inbox_held_in_order")
