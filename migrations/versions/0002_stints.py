"""What an enrolment was before: its earlier stints. And the outbox as text, which nobody looks into.

`json` keeps what was written as it is: a fan-out's events are made and published at a third of the cost of `jsonb`.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STINTS = """
CREATE TABLE stints (
    organisation int NOT NULL,
    course int NOT NULL,
    cycle int NOT NULL,
    learner int NOT NULL,
    enrolled_at timestamptz NOT NULL,
    withdrawn_at timestamptz NOT NULL,
    PRIMARY KEY (organisation, course, cycle, learner, enrolled_at)
);
COMMENT ON TABLE stints IS 'when an enrolment stood before it was recorded anew (R10); a late start may belong there';
"""

OUTBOX = """
ALTER TABLE outbox ALTER data TYPE json;
ALTER TABLE outbox ALTER data SET STORAGE EXTERNAL;
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(STINTS + OUTBOX)


def downgrade() -> None:
    op.get_bind().connection.cursor().execute(
        "DROP TABLE stints;ALTER TABLE outbox ALTER data TYPE jsonb; ALTER TABLE outbox ALTER data SET STORAGE EXTERNAL"
    )
