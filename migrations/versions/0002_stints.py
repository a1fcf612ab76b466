"""What an enrolment was before: its earlier stints. The work at hand, found in a million pieces. The outbox as text.

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
    withdrawn_by text,
    PRIMARY KEY (organisation, course, cycle, learner, enrolled_at)
);
COMMENT ON TABLE stints IS 'when an enrolment stood before it was recorded anew (R10); a late start may belong there';
"""

DELETIONS = """
ALTER TABLE learners ADD deleted_at timestamptz;
UPDATE learners SET deleted_at = saved_at WHERE standing = 'deleted';
COMMENT ON COLUMN learners.deleted_at IS 'ended every membership until then (S15), also if saved again since';
"""

#: The relay looks many times a second: at what is in flight, at what is due next, at what is left of a fan-out.
WORK = """
CREATE INDEX work_in_flight ON work (queue) WHERE state IN ('offered', 'running');
CREATE INDEX work_next ON work (due_at);
DROP INDEX work_of_subject;
CREATE INDEX work_of_subject ON work (organisation, subject, actor);
"""

OUTBOX = """
ALTER TABLE outbox ALTER data TYPE json;
ALTER TABLE outbox ALTER data SET STORAGE EXTERNAL;
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(STINTS + DELETIONS + WORK + OUTBOX)


def downgrade() -> None:
    raise RuntimeError("there is no way back from row security, which comes next: drop the database")
