"""The life of an announcement: each move is kept; one that was cancelled is closed and told of at its end."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LIFE = """
CREATE TABLE mailing_changes (
    organisation int NOT NULL,
    mailing bigint NOT NULL,
    change bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT now(),
    move text NOT NULL,
    before text,
    after text NOT NULL,
    by text NOT NULL,
    PRIMARY KEY (organisation, mailing, change)
);
COMMENT ON TABLE mailing_changes IS 'what was done with an announcement, by whom and when; notices have no such life';

DROP INDEX mailings_sending;
CREATE INDEX mailings_open ON mailings (organisation) WHERE state IN ('sending', 'cancelled') AND finished_at IS NULL;
COMMENT ON COLUMN mailings.finished_at IS 'since when nothing is left to do: of a cancelled one, soon after it was';
COMMENT ON COLUMN deliveries.attempts IS 'tries since the launch, or since the failed were last retried';
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(LIFE)


def downgrade() -> None:
    raise RuntimeError("row security is not taken away: drop the database")
