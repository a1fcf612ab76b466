"""Work whose workers never come back: counted, and set aside where it was tried with nothing beside it."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

LOST = """
ALTER TABLE work ADD COLUMN lost int NOT NULL DEFAULT 0, ADD COLUMN alone int NOT NULL DEFAULT 0,
    DROP CONSTRAINT work_state_check,
    ADD CONSTRAINT work_state_check
        CHECK (state IN ('due', 'offered', 'running', 'held', 'scheduled', 'failing'));
COMMENT ON COLUMN work.lost IS 'claims in a row after which nothing was heard';
COMMENT ON COLUMN work.alone IS 'of these, tries with nothing beside it in its process: after some it is failing';
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(LOST)


def downgrade() -> None:
    op.execute("UPDATE work SET state = 'due', due_at = now() WHERE state = 'failing'")
    op.execute("ALTER TABLE work DROP COLUMN lost, DROP COLUMN alone, DROP CONSTRAINT work_state_check")
    op.execute(
        "ALTER TABLE work ADD CONSTRAINT work_state_check"
        " CHECK (state IN ('due', 'offered', 'running', 'held', 'scheduled'))"
    )
