"""How far the groups that read the outgoing stream have come, and what is to be published once more, by hand."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

READERS = """
CREATE TABLE readers (
    name bytea PRIMARY KEY,
    acknowledged bigint NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE readers IS 'the consumer groups of rollcall:out, for when Redis has forgotten them';
COMMENT ON COLUMN readers.acknowledged IS 'the position up to which the group had read and acknowledged everything';

CREATE TABLE replays (
    organisation int NOT NULL,
    replay bigint GENERATED ALWAYS AS IDENTITY,
    seq bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    position bigint,
    PRIMARY KEY (organisation, replay)
);
CREATE INDEX replays_unordered ON replays (replay) WHERE position IS NULL;
CREATE UNIQUE INDEX replays_position ON replays (position) WHERE position IS NOT NULL;
COMMENT ON TABLE replays IS 'events of the outbox to be published once more, by hand, each after all others';
CREATE TRIGGER wake AFTER INSERT ON replays REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION wake_relay();
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(READERS)


def downgrade() -> None:
    op.execute("DROP TABLE replays, readers")
