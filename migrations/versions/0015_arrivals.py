"""Fan-outs of learners of whom each has an event of its own to thank: who arrived, came back or is active again."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

ARRIVALS = """
ALTER TABLE fanouts ADD COLUMN sources text[], ADD COLUMN events text[], ADD COLUMN times timestamptz[],
    DROP CONSTRAINT fanouts_cause_check,
    ADD CONSTRAINT fanouts_cause_check CHECK (cause IN ('request', 'rule', 'arrival', 'return', 'reactivation'));
COMMENT ON COLUMN fanouts.times IS 'of each learner in turn the event (source, id and time) that caused it';
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(ARRIVALS)


def downgrade() -> None:
    raise RuntimeError("what is still to be done for learners is not thrown away: drop the database")
