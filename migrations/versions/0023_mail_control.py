"""Whether mail may leave at all, and what a database can be told by that was restored from a backup.

A restored database is older than one that was seen, outside of it. So each group of mails that is begun counts in the
database, in the transaction that marks it; Redis and the home remember the highest counts they saw. The counts are
many, so that workers do not wait for each other. A backup from before this migration is known by its first event.
"""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE mail_control (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    installation uuid NOT NULL,
    paused_at timestamptz,
    paused_by text,
    why text CHECK (why IN ('by hand', 'restored')),
    asks boolean NOT NULL DEFAULT false,
    restored_at timestamptz,
    known_until timestamptz
);
COMMENT ON TABLE mail_control IS 'whether mail may leave at all; the gate reads it';
COMMENT ON COLUMN mail_control.installation IS 'which database this is: restored, it is the same';
COMMENT ON COLUMN mail_control.asks IS 'it was restored, and nobody has said yet what is to become of its mail';
COMMENT ON COLUMN mail_control.known_until IS 'until when mails are looked up in known_sent before they go';
INSERT INTO mail_control (installation)
SELECT coalesce((SELECT CAST(md5('installation ' || id) AS uuid) FROM outbox ORDER BY organisation, seq LIMIT 1),
                gen_random_uuid());

CREATE TABLE mail_pulses (
    shard smallint PRIMARY KEY,
    n bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);
COMMENT ON TABLE mail_pulses IS 'how many groups of mails were begun; counted in parts, so that nobody waits';
INSERT INTO mail_pulses (shard) SELECT generate_series(0, 31);

CREATE TABLE known_sent (
    message bigint PRIMARY KEY,
    accepted boolean NOT NULL
);
COMMENT ON TABLE known_sent IS 'mails that went after the moment to which this database was restored, by Message-ID';
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(UP)


def downgrade() -> None:
    op.execute("DROP TABLE mail_control, mail_pulses, known_sent")
