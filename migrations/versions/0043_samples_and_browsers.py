"""How much waited is kept for two days, minute by minute; and of a session which browser it was begun in."""

from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

oldest = "0037"

UP = """
CREATE TABLE samples (
    at timestamptz NOT NULL,
    flow text NOT NULL CHECK (flow IN ('tasks', 'mail', 'bulk', 'in', 'out')),
    waiting bigint,
    oldest_seconds double precision,
    in_flight bigint NOT NULL,
    failing bigint NOT NULL,
    passed bigint,
    PRIMARY KEY (at, flow)
);
ALTER TABLE sessions ADD COLUMN browser text;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("ALTER TABLE sessions DROP COLUMN browser; DROP TABLE samples")
