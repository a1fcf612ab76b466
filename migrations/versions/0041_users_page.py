"""Learners who are not active are found, and counted, without looking at those who are."""

from alembic import op

revision = "0041"
down_revision = "0036"
branch_labels = None
depends_on = None


INDEX = """
CREATE INDEX learners_not_active ON learners (organisation, standing, learner) WHERE standing <> 'active'
"""


def upgrade() -> None:
    op.execute(INDEX)


def downgrade() -> None:
    op.execute("DROP INDEX learners_not_active")
