"""The body of a large event that waits for its turn is not compressed, as the outbox's data are not.

It is there until it is applied. The rows that are there stay as they are.
"""

from alembic import op

revision = "0093"
down_revision = "0092"
branch_labels = None
depends_on = None

oldest = "0037"


def upgrade() -> None:
    op.execute("ALTER TABLE inbox ALTER body SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.execute("ALTER TABLE inbox ALTER body SET STORAGE EXTENDED")
