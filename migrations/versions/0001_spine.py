"""The spine: what is known, what is due, what was sent, what was consumed.

Every table of an organisation's leads its key with the organisation. Learners, courses and segments carry small numbers
of their own, dense within the organisation: half the width of the platform's ids in every index, and a range of
learners is plain arithmetic.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KNOWN = """
CREATE TYPE standing AS ENUM ('unsaved', 'active', 'inactive', 'deleted');

CREATE TABLE organisations (
    organisation int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    name text NOT NULL,
    licence text NOT NULL CHECK (licence IN ('seats', 'credits')),
    pool bigint CHECK (pool >= 0),
    licence_starts timestamptz,
    licence_ends timestamptz,
    admin_emails text[] NOT NULL,
    reactivation_digest boolean NOT NULL,
    saved_at timestamptz NOT NULL,
    learners int NOT NULL DEFAULT 0
);
COMMENT ON COLUMN organisations.saved_at IS 'time of the event that described it (R6)';
COMMENT ON COLUMN organisations.learners IS 'numbers given out; the next learner is this plus one';

CREATE TABLE learners (
    organisation int NOT NULL,
    learner int NOT NULL,
    id text NOT NULL,
    standing standing NOT NULL,
    version bigint NOT NULL,
    saved_version bigint,
    saved_at timestamptz,
    username text,
    email text,
    first_name text,
    last_name text,
    locale text,
    time_zone text,
    PRIMARY KEY (organisation, learner),
    UNIQUE (organisation, id)
) WITH (fillfactor = 90);
COMMENT ON COLUMN learners.standing IS 'unsaved: only mentioned so far, what is said of it is kept (S2)';
COMMENT ON COLUMN learners.version IS 'the highest version known, taken by what comes without one (S1)';

CREATE TABLE status_changes (
    organisation int NOT NULL,
    learner int NOT NULL,
    version bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    active boolean NOT NULL,
    cause text NOT NULL,
    PRIMARY KEY (organisation, learner, version, occurred_at)
);

CREATE FUNCTION status_at(of_organisation int, of_learner int, moment timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce((
        SELECT active FROM status_changes
        WHERE organisation = of_organisation AND learner = of_learner AND occurred_at <= moment
        ORDER BY version DESC, occurred_at DESC LIMIT 1
    ), true)
$$;
COMMENT ON FUNCTION status_at IS 'was this learner active then? The one answer about the past (R6, S1)';

CREATE TABLE segments (
    organisation int NOT NULL,
    segment int GENERATED ALWAYS AS IDENTITY,
    id text NOT NULL,
    name text,
    saved_at timestamptz,
    PRIMARY KEY (organisation, segment),
    UNIQUE (organisation, id)
);

CREATE TABLE membership_changes (
    organisation int NOT NULL,
    segment int NOT NULL,
    learner int NOT NULL,
    occurred_at timestamptz NOT NULL,
    member boolean NOT NULL,
    PRIMARY KEY (organisation, segment, learner, occurred_at)
);

CREATE TABLE memberships (
    organisation int NOT NULL,
    segment int NOT NULL,
    learner int NOT NULL,
    member boolean NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (organisation, segment, learner)
);
CREATE INDEX memberships_of_learner ON memberships (organisation, learner);

CREATE TABLE courses (
    organisation int NOT NULL,
    course int GENERATED ALWAYS AS IDENTITY,
    id text NOT NULL,
    title text NOT NULL,
    cost bigint NOT NULL CHECK (cost >= 0),
    on_hold boolean NOT NULL,
    method text NOT NULL CHECK (method IN ('manual', 'everyone', 'segments')),
    rules_since timestamptz NOT NULL,
    saved_at timestamptz NOT NULL,
    PRIMARY KEY (organisation, course),
    UNIQUE (organisation, id)
);

COMMENT ON COLUMN courses.rules_since IS 'since when its method and links are what they are: no rule enrols earlier';

CREATE TABLE course_segments (
    organisation int NOT NULL,
    course int NOT NULL,
    segment int NOT NULL,
    PRIMARY KEY (organisation, course, segment)
);
CREATE INDEX course_segments_of_segment ON course_segments (organisation, segment);
"""

ENROLMENTS = """
CREATE TABLE fanouts (
    organisation int NOT NULL,
    fanout bigint GENERATED ALWAYS AS IDENTITY,
    courses int[] NOT NULL,
    cycle int NOT NULL,
    cause text NOT NULL CHECK (cause IN ('request', 'rule')),
    request text,
    occurred_at timestamptz NOT NULL,
    mailing bigint,
    learners int[],
    reasons jsonb NOT NULL DEFAULT '{}',
    selected int NOT NULL DEFAULT 0,
    enrolled int NOT NULL DEFAULT 0,
    silent int NOT NULL DEFAULT 0,
    already int NOT NULL DEFAULT 0,
    finished_at timestamptz,
    PRIMARY KEY (organisation, fanout)
);
CREATE INDEX fanouts_running ON fanouts (organisation) WHERE finished_at IS NULL;
CREATE UNIQUE INDEX fanouts_request ON fanouts (organisation, request) WHERE request IS NOT NULL;
COMMENT ON COLUMN fanouts.learners IS 'whom a request selected; null: by the rules of the course';

CREATE TABLE enrolments (
    organisation int NOT NULL,
    course int NOT NULL,
    cycle int NOT NULL,
    learner int NOT NULL,
    silent boolean NOT NULL,
    fanout bigint NOT NULL,
    notice bigint,
    enrolled_at timestamptz NOT NULL,
    activated_at timestamptz,
    started_at timestamptz,
    completed_at timestamptz,
    withdrawn_at timestamptz,
    withdrawn_by text CHECK (withdrawn_by IN ('rule', 'name')),
    requests bigint[],
    result text,
    score double precision,
    review text,
    PRIMARY KEY (organisation, course, cycle, learner)
) WITH (fillfactor = 90);
CREATE INDEX enrolments_of_learner ON enrolments (organisation, learner);
COMMENT ON COLUMN enrolments.fanout IS 'the fan-out that recorded it last';
COMMENT ON COLUMN enrolments.notice IS 'the mailing that tells of it, if any';
COMMENT ON COLUMN enrolments.requests IS 'the requests that hold it (R10); rules are asked, not stored';

CREATE TABLE withdrawals (
    organisation int NOT NULL,
    course int NOT NULL,
    learner int NOT NULL,
    cycle int NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (organisation, course, learner, cycle)
);
COMMENT ON TABLE withdrawals IS 'the last withdrawal by name; cycle 0 covers every cycle (R10, S4)';

CREATE VIEW access AS
SELECT e.organisation, e.learner, e.course, e.cycle,
       l.standing = 'active' AS active,
       e.withdrawn_at IS NULL AS not_withdrawn,
       NOT c.on_hold AS not_on_hold,
       l.standing = 'active' AND e.withdrawn_at IS NULL AND NOT c.on_hold AS granted
FROM enrolments e
JOIN learners l USING (organisation, learner)
JOIN courses c USING (organisation, course);
COMMENT ON VIEW access IS 'who has access to what: derived, never stored (R3)';

CREATE FUNCTION enrolment_sources(e enrolments, c courses) RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT ARRAY(
        SELECT source FROM (
            SELECT 'everyone' AS source WHERE c.method = 'everyone' AND e.cycle = 1
            UNION ALL
            SELECT 'segment:' || s.id
            FROM course_segments cs
            JOIN memberships m USING (organisation, segment)
            JOIN segments s USING (organisation, segment)
            WHERE c.method = 'segments' AND e.cycle = 1 AND cs.organisation = e.organisation
              AND cs.course = e.course AND m.learner = e.learner AND m.member
            UNION ALL
            SELECT 'request:' || f.request FROM fanouts f
            WHERE f.organisation = e.organisation AND f.fanout = ANY(e.requests)
        ) held ORDER BY source COLLATE "C"
    )
$$;
COMMENT ON FUNCTION enrolment_sources IS 'what holds an enrolment now: rules are asked, not stored (R10)';

CREATE FUNCTION rfc3339(moment timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

CREATE FUNCTION spreadsheet_safe(cell text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN cell ~ '^[-=+@[:cntrl:]]' THEN '''' || cell ELSE cell END
$$;
COMMENT ON FUNCTION spreadsheet_safe IS 'a cell no spreadsheet takes for a formula';
"""

MAIL = """
CREATE TABLE mailings (
    organisation int NOT NULL,
    mailing bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL CHECK (kind IN ('announcement', 'enrolment', 'digest', 'password', 'seats')),
    source text NOT NULL DEFAULT '',
    id text NOT NULL,
    state text NOT NULL CHECK (state IN ('draft', 'scheduled', 'late', 'sending', 'paused', 'cancelled',
                                         'finished', 'finished with failures')),
    policy text NOT NULL CHECK (policy IN ('hold', 'resend')),
    subject text NOT NULL DEFAULT '',
    body text NOT NULL DEFAULT '',
    audience jsonb NOT NULL DEFAULT '{}',
    learners int[] NOT NULL DEFAULT '{}',
    send_at timestamptz,
    time_zone text,
    created_at timestamptz NOT NULL DEFAULT now(),
    launched_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (organisation, mailing),
    UNIQUE (organisation, kind, source, id)
);
CREATE INDEX mailings_sending ON mailings (organisation) WHERE state = 'sending';
COMMENT ON COLUMN mailings.source IS 'of a notice: of the event that caused it, whose id it carries';
COMMENT ON COLUMN mailings.learners IS 'for a password notice: the learners it lists';

CREATE TYPE delivery_state AS ENUM ('pending', 'accepted', 'skipped', 'failed', 'cancelled', 'uncertain');

CREATE TABLE deliveries (
    organisation int NOT NULL,
    mailing bigint NOT NULL,
    recipient int NOT NULL,
    state delivery_state NOT NULL,
    attempts smallint NOT NULL DEFAULT 0,
    code smallint,
    settled_at timestamptz,
    due_at timestamptz,
    reason text,
    reply text,
    address text,
    PRIMARY KEY (organisation, mailing, recipient)
) WITH (fillfactor = 85);
COMMENT ON COLUMN deliveries.recipient IS 'a learner; below zero an admin, whose address is kept here';

CREATE TABLE attempts (
    organisation int NOT NULL,
    mailing bigint NOT NULL,
    recipient int NOT NULL,
    attempted_at timestamptz NOT NULL,
    code smallint,
    reason text NOT NULL,
    reply text,
    PRIMARY KEY (organisation, mailing, recipient, attempted_at)
);
COMMENT ON TABLE attempts IS 'attempts that settled nothing; the one that did is the delivery itself (R18)';

CREATE TABLE suppressions (
    organisation int NOT NULL,
    address text NOT NULL,
    reason text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation, address)
);

CREATE TABLE unsubscribed (
    organisation int NOT NULL,
    learner int NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation, learner)
);

CREATE FUNCTION mail_verdict(kind text, mailing_state text, standing standing, address text,
                             unsubscribed boolean, suppressed boolean) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN mailing_state = 'cancelled' THEN 'cancelled'
        WHEN mailing_state = 'paused' THEN 'paused'
        WHEN standing = 'inactive' THEN 'inactive'
        WHEN standing IS DISTINCT FROM 'active' THEN 'unknown'
        WHEN coalesce(address, '') = '' THEN 'no address'
        WHEN kind = 'announcement' AND unsubscribed THEN 'unsubscribed'
        WHEN suppressed THEN 'suppressed'
        ELSE 'send'
    END
$$;
COMMENT ON FUNCTION mail_verdict IS 'the gate: the one place that says who may be mailed now (R15, S9)';
"""

SEATS = """
CREATE TABLE balances (
    organisation int NOT NULL,
    unit text NOT NULL CHECK (unit IN ('seat', 'credit')),
    period timestamptz NOT NULL,
    used bigint NOT NULL,
    PRIMARY KEY (organisation, unit, period)
);

CREATE TABLE consumptions (
    organisation int NOT NULL,
    consumption bigint GENERATED ALWAYS AS IDENTITY,
    learner int NOT NULL,
    course int NOT NULL,
    cycle int NOT NULL,
    unit text NOT NULL CHECK (unit IN ('seat', 'credit')),
    amount bigint NOT NULL CHECK (amount >= 0),
    period timestamptz NOT NULL,
    overdrawn boolean NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    event text NOT NULL,
    PRIMARY KEY (organisation, consumption)
);
CREATE UNIQUE INDEX one_credit_charge ON consumptions (organisation, learner, course, cycle) WHERE unit = 'credit';
CREATE UNIQUE INDEX one_seat_charge ON consumptions (organisation, learner, period) WHERE unit = 'seat';
CREATE INDEX consumptions_of_learner ON consumptions (organisation, learner);
COMMENT ON INDEX one_credit_charge IS 'credits: once for each learner, course and cycle (R25)';
COMMENT ON INDEX one_seat_charge IS 'seats: once for each learner in a licence period (R25)';

CREATE TABLE reviews (
    organisation int NOT NULL,
    consumption bigint NOT NULL,
    code text NOT NULL,
    event text NOT NULL,
    flagged_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation, consumption, code)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: % on % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = '42501';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON consumptions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""

EVENTS = """
CREATE TABLE inbox (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    id text NOT NULL,
    type text,
    organisation text,
    state text NOT NULL CHECK (state IN ('applied', 'waiting', 'quarantined', 'released', 'discarded')),
    arrived_at timestamptz NOT NULL DEFAULT now(),
    waits_for text,
    until timestamptz,
    reason text,
    detail text,
    body bytea,
    resolved_by text,
    resolved_why text,
    resolved_at timestamptz
);
CREATE UNIQUE INDEX inbox_event ON inbox (source, id) WHERE reason IS DISTINCT FROM 'malformed';
CREATE UNIQUE INDEX inbox_malformed ON inbox (sha256(body)) WHERE reason = 'malformed';
CREATE INDEX inbox_waits_for ON inbox (waits_for text_pattern_ops) WHERE waits_for IS NOT NULL;
CREATE INDEX inbox_until ON inbox (until) WHERE state = 'waiting';
CREATE INDEX inbox_held ON inbox (organisation, seq) WHERE state IN ('waiting', 'quarantined');
COMMENT ON COLUMN inbox.resolved_by IS 'who released or discarded it, why and when (S12)';
COMMENT ON COLUMN inbox.body IS 'kept only while the event is not applied: no personal data lingers here';

CREATE TABLE outbox (
    organisation int NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    type text NOT NULL,
    time timestamptz NOT NULL DEFAULT now(),
    data jsonb NOT NULL,
    position bigint,
    PRIMARY KEY (organisation, seq)
);
ALTER TABLE outbox ALTER data SET STORAGE EXTERNAL;
CREATE INDEX outbox_unordered ON outbox (seq) WHERE position IS NULL;
CREATE UNIQUE INDEX outbox_position ON outbox (position) WHERE position IS NOT NULL;

CREATE TABLE publication (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    ordered bigint NOT NULL DEFAULT 0,
    published bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE publication IS 'how far the outbox has been put in order, and published';
INSERT INTO publication DEFAULT VALUES;

CREATE TABLE work (
    organisation int NOT NULL,
    work bigint GENERATED ALWAYS AS IDENTITY,
    queue text NOT NULL CHECK (queue IN ('tasks', 'mail', 'bulk')),
    actor text NOT NULL,
    subject bigint NOT NULL,
    low int NOT NULL DEFAULT 0,
    high int NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'offered', 'running', 'held', 'scheduled')),
    due_at timestamptz NOT NULL DEFAULT now(),
    fence int NOT NULL DEFAULT 0,
    failures int NOT NULL DEFAULT 0,
    begun int,
    PRIMARY KEY (organisation, work)
);
CREATE INDEX work_due ON work (queue, organisation, due_at);
CREATE INDEX work_of_subject ON work (organisation, subject);
COMMENT ON TABLE work IS 'what is to be done; a finished piece is deleted, its outcome stands in the tables it wrote';
COMMENT ON COLUMN work.due_at IS 'when to wake someone: for offered and running work, when the lease runs out';
COMMENT ON COLUMN work.begun IS 'mail: the last recipient whose sending has begun, unless every outcome is written';
"""

#: How work is announced: one wake-up for each statement, delivered at the commit.
SIGNALS = """
CREATE FUNCTION wake_relay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM changed) THEN
        NOTIFY rollcall_relay;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER wake AFTER INSERT ON work REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION wake_relay();
CREATE TRIGGER wake_at_end AFTER DELETE ON work REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION wake_relay();
CREATE TRIGGER wake AFTER INSERT ON outbox REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION wake_relay();
"""


def upgrade() -> None:
    for part in (KNOWN, ENROLMENTS, MAIL, SEATS, EVENTS, SIGNALS):
        op.get_bind().connection.cursor().execute(part)  # several statements at once: not for prepared ones


def downgrade() -> None:
    raise RuntimeError("the first migration has no way back: drop the database")
