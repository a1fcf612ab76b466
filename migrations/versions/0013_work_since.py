"""How long a piece has been due, whoever was woken for it since, and when a pool last began one; a fan-out without work
is announced too, so that the relay closes it at once."""

from alembic import op

revision = "0013"
down_revision = "0012"
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

CREATE TRIGGER wake AFTER INSERT ON fanouts REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION wake_relay();
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP TRIGGER wake ON fanouts")
    op.execute("DROP TABLE pools")
    op.execute("ALTER TABLE work DROP since")
