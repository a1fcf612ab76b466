"""What several places asked in words of their own has one name: access, withdrawn by name, the status at a time, what
counts in a licence period, and which memberships are not what their history says."""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

#: PostgreSQL writes each of these out where it is called, so that a call costs and plans as the words did.
ACCESS = """
CREATE FUNCTION gives_access(standing standing, withdrawn_at timestamptz, on_hold boolean) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT standing = 'active' AND withdrawn_at IS NULL AND NOT on_hold
$$;
COMMENT ON FUNCTION gives_access IS 'whether an enrolment gives access: what the view access says of each (R3)';
CREATE OR REPLACE VIEW access AS
SELECT e.organisation, e.learner, e.course, e.cycle,
       l.standing = 'active' AS active,
       e.withdrawn_at IS NULL AS not_withdrawn,
       NOT c.on_hold AS not_on_hold,
       gives_access(l.standing, e.withdrawn_at, c.on_hold) AS granted
FROM enrolments e
JOIN learners l USING (organisation, learner)
JOIN courses c USING (organisation, course);

CREATE FUNCTION withdrawn_by_name(of_cycle int) RETURNS SETOF withdrawals LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT * FROM withdrawals WHERE cycle IN (0, of_cycle)
$$;
COMMENT ON FUNCTION withdrawn_by_name IS 'the withdrawals by name that cover a cycle (R10, S4)';
"""

STATUS = """
CREATE FUNCTION status_in_life(of_organisation int, of_learner int, began timestamptz, moment timestamptz)
RETURNS TABLE (active boolean) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT s.active FROM status_changes s
    WHERE s.organisation = of_organisation AND s.learner = of_learner
      AND s.occurred_at <= moment AND s.occurred_at > began
    ORDER BY s.version DESC, s.occurred_at DESC LIMIT 1
$$;
COMMENT ON FUNCTION status_in_life IS
    'the status that held at a moment of a life that began then; no row before the first change (S1, S15)';
CREATE OR REPLACE FUNCTION status_at(of_organisation int, of_learner int, moment timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce((
        SELECT active
        FROM status_in_life(of_organisation, of_learner, life_began(of_organisation, of_learner, moment), moment)
    ), true)
$$;
"""

PERIOD = """
CREATE FUNCTION in_period(period timestamptz, occurred_at timestamptz, begins timestamptz, ends timestamptz)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT period = begins OR occurred_at >= begins AND occurred_at < coalesce(ends, 'infinity')
$$;
COMMENT ON FUNCTION in_period IS
    'whether an entry of the ledger is of a licence period: it was made in it, or lies in its bounds (R25)';
CREATE FUNCTION counts_in(entry consumptions, balance balances) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT entry.period = balance.period OR entry.consumption <= balance.through
       AND in_period(entry.period, entry.occurred_at, balance.period, balance.ends)
$$;
COMMENT ON FUNCTION counts_in IS
    'whether an entry counts in a balance: made in its period, or in its bounds and known when they came (R26)';
"""


#: (SELECT …) hides from the planner which organisation it is, as `config.database` does: see there.
MEMBERSHIPS = """
CREATE FUNCTION memberships_off(of_organisation int)
RETURNS TABLE (segment int, learner int, member boolean, since timestamptz) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    WITH latest AS (
        SELECT DISTINCT ON (c.segment, c.learner) c.segment, c.learner, c.occurred_at,
               c.member AND (l.deleted_at IS NULL OR l.deleted_at < c.occurred_at) AS member
        FROM membership_changes c JOIN learners l USING (organisation, learner)
        WHERE c.organisation = (SELECT of_organisation)
        ORDER BY c.segment, c.learner, c.occurred_at DESC
    )
    SELECT segment, learner, coalesce(latest.member, false), coalesce(latest.occurred_at, m.since)
    FROM latest
    FULL JOIN (SELECT * FROM memberships WHERE organisation = (SELECT of_organisation)) m USING (segment, learner)
    WHERE coalesce(latest.member, false) <> coalesce(m.member, false)
$$;
COMMENT ON FUNCTION memberships_off IS
    'the memberships that are not what the history of their segment says, and what it says (R6)';
"""


#: What course starts and completions write of enrolments, which are not theirs. In PL/pgSQL, which keeps the plans.
ENROLMENTS = """
CREATE FUNCTION start_enrolments(
    of_organisation int, of_courses int[], of_cycles int[], of_learners int[], times timestamptz[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE enrolments e SET started_at = least(e.started_at, new.time),
        activated_at = coalesce(e.activated_at, new.time)
    FROM (SELECT of_organisation AS organisation, unnest(of_courses) AS course, unnest(of_cycles) AS cycle,
                 unnest(of_learners) AS learner, unnest(times) AS time) new
    WHERE e.organisation = new.organisation AND e.course = new.course AND e.cycle = new.cycle
      AND e.learner = new.learner;
END
$$;
COMMENT ON FUNCTION start_enrolments IS 'keep the earliest start of each of these enrolments';

CREATE FUNCTION complete_enrolments(
    of_organisation int, of_courses int[], of_cycles int[], of_learners int[], times timestamptz[], results text[],
    scores float8[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE enrolments e SET completed_at = new.time, result = new.result, score = new.score
    FROM (SELECT of_organisation AS organisation, unnest(of_courses) AS course, unnest(of_cycles) AS cycle,
                 unnest(of_learners) AS learner, unnest(times) AS time, unnest(results) AS result,
                 unnest(scores) AS score) new
    WHERE e.organisation = new.organisation AND e.course = new.course AND e.cycle = new.cycle
      AND e.learner = new.learner AND (
          e.completed_at IS NULL OR e.completed_at < new.time
          OR e.completed_at = new.time AND (coalesce(e.result, '') COLLATE "C", coalesce(e.score, -1))
                                         < (coalesce(new.result, '') COLLATE "C", coalesce(new.score, -1)));
END
$$;
COMMENT ON FUNCTION complete_enrolments IS
    'keep the newest completion of each of these enrolments (S14); of two at the same time the greater';

CREATE FUNCTION flag_enrolments(
    of_organisation int, of_courses int[], of_cycles int[], of_learners int[], codes text[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE enrolments e SET review = new.code
    FROM (SELECT of_organisation AS organisation, unnest(of_courses) AS course, unnest(of_cycles) AS cycle,
                 unnest(of_learners) AS learner, unnest(codes) AS code) new
    WHERE e.organisation = new.organisation AND e.course = new.course AND e.cycle = new.cycle
      AND e.learner = new.learner AND e.review IS DISTINCT FROM new.code;
END
$$;
COMMENT ON FUNCTION flag_enrolments IS 'flag enrolments, for starts that cost nothing, for review (S13)';
"""

WEBHOOKS = """
CREATE FUNCTION is_for(event outbox, webhook webhooks) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (webhook.organisation = 0 OR event.organisation = webhook.organisation)
       AND (webhook.types IS NULL OR event.type = ANY(webhook.types))
$$;
COMMENT ON FUNCTION is_for IS 'whether an event is for a webhook: of its organisation, or of anybody, and of its types';
CREATE FUNCTION keys_now(webhook webhooks) RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT array_remove(ARRAY[webhook.key, CASE WHEN webhook.old_key_until > now() THEN webhook.old_key END], NULL)
$$;
COMMENT ON FUNCTION keys_now IS 'the keys that a webhook is signed with now, the newer one first';
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(ACCESS + STATUS + PERIOD + MEMBERSHIPS + ENROLMENTS + WEBHOOKS)


def downgrade() -> None:
    raise RuntimeError("the view and other functions rest on these: drop the database")
