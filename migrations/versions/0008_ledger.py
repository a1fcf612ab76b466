"""The ledger, in full: what gets around its trigger is refused too, reviews are settled, pools are warned of."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

#: A superuser has every right whatever is revoked, and nothing keeps the owner of a table from altering it.
APPEND_ONLY = """
CREATE TABLE settled_reviews (
    organisation int NOT NULL,
    consumption bigint NOT NULL,
    code text NOT NULL,
    settled_at timestamptz NOT NULL DEFAULT now(),
    by_whom text NOT NULL,
    why text NOT NULL,
    PRIMARY KEY (organisation, consumption, code)
);
COMMENT ON TABLE settled_reviews IS 'who looked at a flagged entry, and what they found; the flag stays in reviews';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON reviews
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON settled_reviews
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE consumptions ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE reviews ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE settled_reviews ENABLE ALWAYS TRIGGER append_only;
REVOKE UPDATE, DELETE, TRUNCATE ON consumptions, reviews, settled_reviews FROM CURRENT_USER;
"""

#: What counts in a period: the entries made in it and, of those known when its terms were last settled, the ones that
#: lie within its bounds.
POOLS = """
ALTER TABLE balances ADD COLUMN pool bigint, ADD COLUMN ends timestamptz,
    ADD COLUMN through bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN balances.through IS 'the last entry when pool and ends came to be what they are';
COMMENT ON COLUMN balances.used IS 'the sum of the entries of the period, and of those up to `through` in its bounds';

UPDATE balances b SET pool = o.pool, through = coalesce((
        SELECT max(c.consumption) FROM consumptions c WHERE c.organisation = b.organisation), 0),
    ends = CASE WHEN b.period = coalesce(o.licence_starts, '1970-01-01T00:00:00Z') THEN o.licence_ends ELSE b.period END
FROM organisations o WHERE o.organisation = b.organisation;
UPDATE balances b SET used = (
    SELECT coalesce(sum(c.amount), 0) FROM consumptions c
    WHERE c.organisation = b.organisation AND c.unit = b.unit
      AND (c.period = b.period OR c.occurred_at >= b.period AND c.occurred_at < coalesce(b.ends, 'infinity')));

CREATE TABLE pool_warnings (
    organisation int NOT NULL,
    unit text NOT NULL CHECK (unit IN ('seat', 'credit')),
    period timestamptz NOT NULL,
    pool bigint NOT NULL,
    percent int NOT NULL CHECK (percent IN (80, 100)),
    used bigint NOT NULL,
    warned_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation, unit, period, pool, percent)
);
COMMENT ON TABLE pool_warnings IS 'of a pool of one size in one period the admins are warned once';
"""


def upgrade() -> None:
    for part in (APPEND_ONLY, POOLS):
        op.get_bind().connection.cursor().execute(part)


def downgrade() -> None:
    raise RuntimeError("who settled what is not thrown away: drop the database")
