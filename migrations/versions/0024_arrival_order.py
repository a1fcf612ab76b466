"""Whatever is heard last: all that decides when an enrolment stood is kept, with the time at which it happened.

Of the rules of a course, withdrawals by name, deletions, descriptions and starts, only what held at last was kept. What
comes late is judged by all of it (R6, R10, R27, S15).
"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

HISTORY = """
CREATE TABLE course_rules (
    organisation int NOT NULL,
    course int NOT NULL,
    occurred_at timestamptz NOT NULL,
    method text NOT NULL,
    segments int[] NOT NULL,
    PRIMARY KEY (organisation, course, occurred_at)
);
CREATE INDEX course_rules_newest ON course_rules (organisation, occurred_at);
COMMENT ON TABLE course_rules IS 'the method and links of a course, from each time on at which it was described (R10)';
INSERT INTO course_rules
SELECT organisation, course, rules_since, method, ARRAY(
    SELECT segment FROM course_segments s WHERE s.organisation = c.organisation AND s.course = c.course ORDER BY 1)
FROM courses c;

ALTER TABLE withdrawals DROP CONSTRAINT withdrawals_pkey;
ALTER TABLE withdrawals ADD PRIMARY KEY (organisation, course, learner, cycle, occurred_at);
COMMENT ON TABLE withdrawals IS 'every withdrawal by name; cycle 0 covers every cycle (R10, S4)';

ALTER TABLE enrolments ADD asked bigint[];
UPDATE enrolments SET asked = requests WHERE requests IS NOT NULL;
COMMENT ON COLUMN enrolments.asked IS 'every request that selected the learner, also where it holds nothing by now';
ALTER TABLE enrolments ADD before_history boolean NOT NULL DEFAULT true;
ALTER TABLE enrolments ALTER before_history SET DEFAULT false;
COMMENT ON COLUMN enrolments.before_history IS 'recorded when no history of rules was kept: it is never told anew';
CREATE TABLE void_enrolments (LIKE enrolments INCLUDING ALL);
COMMENT ON TABLE void_enrolments IS 'of enrolments that, as it turned out, never began: what is known of them besides';
CREATE INDEX stints_of_learner ON stints (organisation, learner, course);

CREATE TABLE starts (
    organisation int NOT NULL,
    learner int NOT NULL,
    course int NOT NULL,
    cycle int NOT NULL,
    occurred_at timestamptz NOT NULL,
    released boolean NOT NULL,
    PRIMARY KEY (organisation, learner, course, cycle, occurred_at)
);
COMMENT ON TABLE starts IS 'every start that was counted; what arrives later may contradict it (R28)';
COMMENT ON COLUMN starts.released IS 'a person said that it is valid (S12)';
INSERT INTO starts
SELECT organisation, learner, course, cycle, started_at, false FROM enrolments WHERE started_at IS NOT NULL
UNION SELECT organisation, learner, course, cycle, occurred_at, false FROM consumptions;
"""

PEOPLE = """
CREATE TABLE deletions (
    organisation int NOT NULL,
    learner int NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (organisation, learner, occurred_at)
);
COMMENT ON TABLE deletions IS 'every deletion: what happened before it is not about whom is saved after it (S15)';
INSERT INTO deletions SELECT organisation, learner, deleted_at FROM learners WHERE deleted_at IS NOT NULL;
UPDATE learners SET saved_version = NULL WHERE standing = 'deleted';

CREATE TABLE descriptions (
    organisation int NOT NULL,
    learner int NOT NULL,
    occurred_at timestamptz NOT NULL,
    version bigint NOT NULL,
    said json,
    PRIMARY KEY (organisation, learner, occurred_at, version)
);
COMMENT ON TABLE descriptions IS 'when a learner was described, but for the description that holds';
COMMENT ON COLUMN descriptions.said IS 'kept only where a deletion that comes late could make it the one that holds';
CREATE FUNCTION keep_description() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO descriptions (organisation, learner, occurred_at, version, said)
    VALUES (OLD.organisation, OLD.learner, OLD.saved_at, OLD.saved_version, CASE
        WHEN OLD.saved_at > NEW.saved_at AND NEW.saved_version IS NOT NULL THEN json_build_object(
            'username', OLD.username, 'email', OLD.email, 'first_name', OLD.first_name, 'last_name', OLD.last_name,
            'locale', OLD.locale, 'time_zone', OLD.time_zone) END)
    ON CONFLICT DO NOTHING;
    UPDATE descriptions SET said = NULL
    WHERE organisation = NEW.organisation AND learner = NEW.learner AND occurred_at <= NEW.saved_at
      AND said IS NOT NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER former_description AFTER UPDATE OF saved_at ON learners
    FOR EACH ROW WHEN (OLD.saved_version IS NOT NULL AND (OLD.saved_at, OLD.saved_version)
                       IS DISTINCT FROM (NEW.saved_at, NEW.saved_version))
    EXECUTE FUNCTION keep_description();

CREATE FUNCTION life_began(of_organisation int, of_learner int, moment timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(max(occurred_at), '-infinity') FROM deletions
    WHERE organisation = of_organisation AND learner = of_learner AND occurred_at < moment
$$;
COMMENT ON FUNCTION life_began IS 'the last deletion before a moment: what was before it is somebody else''s (S15)';
CREATE OR REPLACE FUNCTION status_at(of_organisation int, of_learner int, moment timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce((
        SELECT active FROM status_changes
        WHERE organisation = of_organisation AND learner = of_learner AND occurred_at <= moment
          AND occurred_at > life_began(of_organisation, of_learner, moment)
        ORDER BY version DESC, occurred_at DESC LIMIT 1
    ), true)
$$;
"""

#: A segment that nobody saved yet is named nowhere, also where it holds an enrolment already.
SOURCES = """
CREATE OR REPLACE FUNCTION enrolment_sources(e enrolments, c courses) RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT ARRAY(
        SELECT source FROM (
            SELECT 'everyone' AS source WHERE c.method = 'everyone' AND e.cycle = 1
            UNION ALL
            SELECT 'segment:' || s.id
            FROM course_segments cs
            JOIN memberships m USING (organisation, segment)
            JOIN segments s USING (organisation, segment)
            WHERE c.method = 'segments' AND e.cycle = 1 AND cs.organisation = e.organisation
              AND cs.course = e.course AND m.learner = e.learner AND m.member AND s.saved_at IS NOT NULL
            UNION ALL
            SELECT 'request:' || f.request FROM fanouts f
            WHERE f.organisation = e.organisation AND f.fanout = ANY(e.requests)
        ) held ORDER BY source COLLATE "C"
    )
$$;
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(HISTORY + PEOPLE + SOURCES)


def downgrade() -> None:
    raise RuntimeError("what was kept of the past is not thrown away: drop the database")
