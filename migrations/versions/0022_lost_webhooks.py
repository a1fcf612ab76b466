"""A webhook that ends whoever serves it is disabled: turns of which nobody came back are counted."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE webhooks ADD lost int NOT NULL DEFAULT 0")
    op.execute("COMMENT ON COLUMN webhooks.lost IS 'claims since it was last served in order, the one now included'")


def downgrade() -> None:
    op.execute("ALTER TABLE webhooks DROP lost")
