"""How long a piece has been due, whoever was woken for it since, and when a pool last began one."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE work ADD since timestamptz NOT NULL DEFAULT now();
UPDATE work SET since = due_at WHERE due_at <> 'infinity';
COMMENT ON COLUMN work.since IS 'when it first became due; offers and leases leave it alone';

CREATE TABLE pools (
    queue text PRIMARY KEY CHECK (queue IN ('tasks', 'mail', 'bulk')),
    claimed_at timestamptz NOT NULL
);
COMMENT ON TABLE pools IS 'when somebody last began a piece of a queue, to within two seconds';
INSERT INTO pools (queue, claimed_at) VALUES ('tasks', '-infinity'), ('mail', '-infinity'), ('bulk', '-infinity');
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE pools")
    op.execute("ALTER TABLE work DROP since")
