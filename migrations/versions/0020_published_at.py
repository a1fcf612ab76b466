"""When the relay last published events, so that one that does not run can be told from one with a backlog."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE publication ADD published_at timestamptz NOT NULL DEFAULT '-infinity'")
    op.execute("COMMENT ON COLUMN publication.published_at IS 'when events were last published'")


def downgrade() -> None:
    op.execute("ALTER TABLE publication DROP published_at")
