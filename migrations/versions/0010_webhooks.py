"""Webhooks: where events out are sent besides the stream, how far that has come, and what was answered."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

WEBHOOKS = """
CREATE TABLE webhooks (
    organisation int NOT NULL,
    id text NOT NULL,
    url text NOT NULL,
    types text[],
    key text NOT NULL,
    old_key text,
    old_key_until timestamptz,
    state text NOT NULL DEFAULT 'enabled' CHECK (state IN ('enabled', 'disabled')),
    reason text CHECK ((reason IS NULL) = (state = 'enabled')),
    since timestamptz NOT NULL DEFAULT now(),
    position bigint NOT NULL,
    due_at timestamptz NOT NULL DEFAULT now(),
    fence int NOT NULL DEFAULT 0,
    failures int NOT NULL DEFAULT 0,
    failing_since timestamptz,
    delivered bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    delivered_at timestamptz,
    PRIMARY KEY (organisation, id)
);
CREATE INDEX webhooks_due ON webhooks (due_at) WHERE state = 'enabled';
COMMENT ON COLUMN webhooks.organisation IS 'whose events it is sent; 0: everybody''s, it is the platform''s own';
COMMENT ON COLUMN webhooks.types IS 'null: events of every type';
COMMENT ON COLUMN webhooks.key IS 'encrypted with a key made of SECRET_KEY';
COMMENT ON COLUMN webhooks.position IS 'in the order of the outbox; what is its own up to there was delivered';
COMMENT ON COLUMN webhooks.due_at IS 'when somebody may serve it: while it is served, when the lease runs out';

CREATE TABLE webhook_attempts (
    organisation int NOT NULL,
    webhook text NOT NULL,
    delivered boolean NOT NULL,
    number bigint NOT NULL,
    event uuid NOT NULL,
    type text NOT NULL,
    position bigint NOT NULL,
    at timestamptz NOT NULL,
    status smallint,
    problem text CHECK ((problem IS NULL) = delivered),
    milliseconds int NOT NULL,
    said text NOT NULL,
    PRIMARY KEY (organisation, webhook, delivered, number),
    FOREIGN KEY (organisation, webhook) REFERENCES webhooks ON DELETE CASCADE
);
COMMENT ON TABLE webhook_attempts IS 'the last of each webhook''s; delivered and failed ones are numbered apart';
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(WEBHOOKS)


def downgrade() -> None:
    op.execute("DROP TABLE webhook_attempts, webhooks")
