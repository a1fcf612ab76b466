"""What comes back: delivery reports and complaints, and who suppressed an address, or lifted that, and why."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BOUNCES = """
CREATE TYPE bounce_kind AS ENUM ('blocked', 'soft', 'hard', 'complaint');
COMMENT ON TYPE bounce_kind IS 'the weakest first: of one delivery the strongest holds';

CREATE TABLE bounces (
    organisation int NOT NULL,
    mailing bigint NOT NULL,
    recipient int NOT NULL,
    kind bounce_kind NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    status text,
    diagnostic text,
    fingerprint bytea NOT NULL,
    PRIMARY KEY (organisation, mailing, recipient)
);
CREATE INDEX bounces_of_recipient ON bounces (organisation, recipient);
COMMENT ON TABLE bounces IS 'what came back for a delivery, once, however often it was reported (R32)';
COMMENT ON COLUMN bounces.fingerprint IS 'tells which address it went to: a learner''s may have changed since';

ALTER TABLE suppressions ADD COLUMN why text, ADD COLUMN by_whom text;
COMMENT ON COLUMN suppressions.why IS 'the status code that was reported, or what a person said';

CREATE TABLE lifted_suppressions (
    organisation int NOT NULL,
    address text NOT NULL,
    lifted_at timestamptz NOT NULL DEFAULT now(),
    why text,
    by_whom text NOT NULL,
    PRIMARY KEY (organisation, address)
);
COMMENT ON TABLE lifted_suppressions IS 'what went to an address before a person lifted its suppression counts no more';
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(BOUNCES)


def downgrade() -> None:
    raise RuntimeError("what came back is not thrown away: drop the database")
