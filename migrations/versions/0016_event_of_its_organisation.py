"""An id is used up for its organisation alone: who may post for one must not use up another's (R31)."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

UNIQUE = "CREATE UNIQUE INDEX inbox_event ON inbox ({}) WHERE reason IS DISTINCT FROM 'malformed'"


def upgrade() -> None:
    op.execute("DROP INDEX inbox_event")
    op.execute(UNIQUE.format("source, id, organisation"))


def downgrade() -> None:
    op.execute("DROP INDEX inbox_event")
    op.execute(UNIQUE.format("source, id"))
