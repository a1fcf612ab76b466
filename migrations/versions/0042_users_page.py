"""Learners who are not active are found, and counted, without looking at those who are."""

from alembic import op

from migrations.indexes import create

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

oldest = "0037"

#: Built before, while learners are changed.
indexes = {"learners_not_active": "ON learners (organisation, standing, learner) WHERE standing <> 'active'"}


def upgrade() -> None:
    create(indexes)


def downgrade() -> None:
    op.execute("DROP INDEX learners_not_active")
