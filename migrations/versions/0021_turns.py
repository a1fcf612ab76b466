"""What waits for its turn is taken in the order in which it arrived, however much of it there is."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX inbox_turn ON inbox (waits_for, seq) WHERE reason = 'its turn'")


def downgrade() -> None:
    op.execute("DROP INDEX inbox_turn")
