"""Each tab of learners is read without looking at anybody else.

Under row security no look-up of a standing can use an index, as comparing one is not leakproof; an index of those who
stand so alone can be used.
"""

from alembic import op

from migrations.indexes import create

revision = "0049"
down_revision = "0047"
branch_labels = None
depends_on = None

oldest = "0037"

#: Built before, while learners are changed.
indexes = {
    "learners_active": "ON learners (organisation, learner) WHERE standing = 'active'",
    "learners_inactive": "ON learners (organisation, learner) WHERE standing = 'inactive'",
}


def upgrade() -> None:
    create(indexes)


def downgrade() -> None:
    op.execute("DROP INDEX learners_inactive")
    op.execute("DROP INDEX learners_active")
