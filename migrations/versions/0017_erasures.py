"""Erasing a learner, in full: what is left to be looked for, and the addresses they had before, as digests."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

ERASURES = """
CREATE FUNCTION digest_of(named text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT sha256(convert_to(lower(named COLLATE "C"), 'UTF8'))
$$;
CREATE TABLE former_addresses (
    organisation int NOT NULL,
    learner int NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (organisation, learner, digest)
);
COMMENT ON TABLE former_addresses IS 'to find what is kept under an earlier address when a learner is erased (S15)';
CREATE FUNCTION keep_former_address() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO former_addresses VALUES (OLD.organisation, OLD.learner, digest_of(OLD.email)) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER former_address AFTER UPDATE OF email ON learners
    FOR EACH ROW WHEN (OLD.email IS NOT NULL AND OLD.email IS DISTINCT FROM NEW.email)
    EXECUTE FUNCTION keep_former_address();
CREATE TABLE erasures (
    organisation int NOT NULL,
    erasure bigint GENERATED ALWAYS AS IDENTITY,
    learner int,
    id text NOT NULL,
    until timestamptz NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    digests bytea[] NOT NULL,
    names bytea[] NOT NULL,
    looked_at timestamptz,
    PRIMARY KEY (organisation, erasure)
);
COMMENT ON TABLE erasures IS 'learners who are erased, until every place was looked at twice for what names them';
COMMENT ON COLUMN erasures.until IS 'when the deletion happened: what is dated later is about somebody new';
COMMENT ON COLUMN erasures.digests IS 'of their addresses and usernames; names: of first and last name';
CREATE INDEX outbox_usernames ON outbox (organisation, (data ->> 'learner'))
    WHERE type = 'rollcall.learner.password_void';
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(ERASURES)


def downgrade() -> None:
    op.execute("DROP INDEX outbox_usernames")
    op.execute("DROP TABLE erasures")
    op.execute("DROP TRIGGER former_address ON learners")
    op.execute("DROP FUNCTION keep_former_address")
    op.execute("DROP TABLE former_addresses")
    op.execute("DROP FUNCTION digest_of")
