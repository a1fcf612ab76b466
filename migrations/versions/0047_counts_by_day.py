"""Numbers by course, segment and day, kept as they were counted last: a page that shows them does not count.

Nothing is counted here: a worker is asked by whoever looks first.
"""

from alembic import op

revision = "0047"
down_revision = "0043"
branch_labels = None
depends_on = None

oldest = "0037"

TABLES = """
CREATE TABLE counts (
    organisation int PRIMARY KEY,
    asked_at timestamptz NOT NULL,
    counted_at timestamptz,
    seconds double precision
);
COMMENT ON TABLE counts IS 'when the numbers of an organisation were counted last, where that takes long';
COMMENT ON COLUMN counts.asked_at IS 'when a worker was asked to count';
COMMENT ON COLUMN counts.counted_at IS 'how it stood then is what is kept; null: not counted yet';
COMMENT ON COLUMN counts.seconds IS 'how long the counting took';

CREATE TABLE course_counts (
    organisation int,
    id text,
    title text NOT NULL,
    enrolled bigint NOT NULL,
    started bigint NOT NULL,
    completed bigint NOT NULL,
    not_started bigint NOT NULL,
    withdrawn bigint NOT NULL,
    PRIMARY KEY (organisation, id)
);
CREATE INDEX course_counts_most ON course_counts (organisation, enrolled DESC, id);
COMMENT ON TABLE course_counts IS 'analytics of the active by course, as they were counted last (R29)';
COMMENT ON COLUMN course_counts.enrolled IS 'who are, and are not withdrawn';
COMMENT ON COLUMN course_counts.started IS 'of these';
COMMENT ON COLUMN course_counts.completed IS 'of these';
COMMENT ON COLUMN course_counts.not_started IS 'of those enrolled';
COMMENT ON COLUMN course_counts.withdrawn IS 'who were enrolled';
COMMENT ON COLUMN course_counts.id IS 'the platform''s id';

CREATE TABLE segment_counts (
    organisation int,
    id text,
    name text NOT NULL,
    members bigint NOT NULL,
    enrolled bigint NOT NULL,
    started bigint NOT NULL,
    completed bigint NOT NULL,
    PRIMARY KEY (organisation, id)
);
CREATE INDEX segment_counts_most ON segment_counts (organisation, enrolled DESC, id);
COMMENT ON TABLE segment_counts IS 'analytics of the active by segment, as they were counted last (R29)';
COMMENT ON COLUMN segment_counts.enrolled IS 'enrolments of its active members that are not withdrawn';
COMMENT ON COLUMN segment_counts.started IS 'of these';
COMMENT ON COLUMN segment_counts.completed IS 'of these';
COMMENT ON COLUMN segment_counts.id IS 'the platform''s id';
COMMENT ON COLUMN segment_counts.members IS 'who are active';

CREATE TABLE training_days (
    organisation int,
    id text,
    day date,
    started bigint NOT NULL,
    completed bigint NOT NULL,
    PRIMARY KEY (organisation, id, day)
);
COMMENT ON TABLE training_days IS 'what the active started and completed by day, as it was counted last (R29)';
COMMENT ON COLUMN training_days.started IS 'enrolments';
COMMENT ON COLUMN training_days.completed IS 'enrolments';
COMMENT ON COLUMN training_days.id IS 'the platform''s id of a course; empty: all courses together';
COMMENT ON COLUMN training_days.day IS 'in UTC';

CREATE TABLE ledger_days (
    organisation int,
    unit text,
    period timestamptz,
    day date,
    used bigint NOT NULL,
    entries bigint NOT NULL,
    overdrawn bigint NOT NULL,
    PRIMARY KEY (organisation, unit, period, day)
);
COMMENT ON TABLE ledger_days IS 'what was used in the current licence period by day, as it was counted last (R25)';
COMMENT ON COLUMN ledger_days.used IS 'seats or credits';
COMMENT ON COLUMN ledger_days.entries IS 'of the ledger';
COMMENT ON COLUMN ledger_days.period IS 'when the licence period begins';
COMMENT ON COLUMN ledger_days.day IS 'in UTC';
COMMENT ON COLUMN ledger_days.overdrawn IS 'entries past the pool';

ALTER TABLE counts ALTER organisation SET (n_distinct = -0.001);
ALTER TABLE course_counts ALTER organisation SET (n_distinct = -0.001);
ALTER TABLE segment_counts ALTER organisation SET (n_distinct = -0.001);
ALTER TABLE training_days ALTER organisation SET (n_distinct = -0.001);
ALTER TABLE ledger_days ALTER organisation SET (n_distinct = -0.001);
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    op.execute("DROP TABLE ledger_days, training_days, segment_counts, course_counts, counts")
