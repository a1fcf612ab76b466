"""Linked by segment, asked in one way; and the starts of a course, found without those of all others."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

UP = """
CREATE VIEW linked AS
SELECT cs.organisation, cs.course, m.segment, m.learner
FROM course_segments cs JOIN memberships m USING (organisation, segment) WHERE m.member;
COMMENT ON VIEW linked IS 'members of the segments a course is linked to; its method says whether links count (R10)';

CREATE OR REPLACE FUNCTION enrolment_sources(e enrolments, c courses) RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT ARRAY(
        SELECT source FROM (
            SELECT 'everyone' AS source WHERE c.method = 'everyone' AND e.cycle = 1
            UNION ALL
            SELECT 'segment:' || s.id FROM linked k JOIN segments s USING (organisation, segment)
            WHERE c.method = 'segments' AND e.cycle = 1 AND k.organisation = e.organisation
              AND k.course = e.course AND k.learner = e.learner AND s.saved_at IS NOT NULL
            UNION ALL
            SELECT 'request:' || f.request FROM fanouts f
            WHERE f.organisation = e.organisation AND f.fanout = ANY(e.requests)
        ) held ORDER BY source COLLATE "C"
    )
$$;

CREATE INDEX starts_of_course ON starts (organisation, course, cycle, learner);
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(UP)


def downgrade() -> None:
    raise RuntimeError("other functions rest on the view: drop the database")
