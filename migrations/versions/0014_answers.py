"""The address that an attempt went to, which a learner's may not be any more; and why a mailing paused itself."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE attempts ADD COLUMN address text")
    op.execute("ALTER TABLE mailing_changes ADD COLUMN why text")
    op.execute(
        "COMMENT ON COLUMN deliveries.address IS"
        " 'of an admin; of a learner the one that was tried last, once that settled the delivery'"
    )
    op.execute("COMMENT ON COLUMN deliveries.recipient IS 'a learner; below zero an admin, whose address is kept'")


def downgrade() -> None:
    op.execute("ALTER TABLE attempts DROP COLUMN address")
    op.execute("ALTER TABLE mailing_changes DROP COLUMN why")
