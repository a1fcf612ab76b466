"""Who may do what: tokens of programs, accounts of people, and their sessions."""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE tokens (
    token int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    hash bytea NOT NULL UNIQUE,
    role text NOT NULL CHECK (role IN ('operator', 'admin', 'reader')),
    organisations text[],
    made_by text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    used_at timestamptz,
    revoked_at timestamptz,
    revoked_by text
);
CREATE UNIQUE INDEX tokens_name ON tokens (name) WHERE revoked_at IS NULL;
CREATE TABLE accounts (
    account int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL UNIQUE,
    role text NOT NULL CHECK (role IN ('operator', 'admin', 'reader')),
    organisations text[],
    password text,
    totp text,
    totp_step bigint,
    made_by text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    signed_in_at timestamptz,
    disabled_at timestamptz,
    disabled_by text
);
CREATE TABLE sign_in_links (
    hash bytea PRIMARY KEY,
    account int NOT NULL REFERENCES accounts (account),
    purpose text NOT NULL CHECK (purpose IN ('password', 'once')),
    until timestamptz NOT NULL
);
CREATE TABLE sessions (
    hash bytea PRIMARY KEY,
    account int NOT NULL REFERENCES accounts (account),
    address text,
    began_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sessions_began ON sessions (began_at);
CREATE TABLE sign_in_tries (
    key bytea PRIMARY KEY,
    tries int NOT NULL,
    until timestamptz NOT NULL
);
CREATE INDEX sign_in_tries_until ON sign_in_tries (until);
CREATE INDEX audit_at ON audit (at, id);
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(UP)


def downgrade() -> None:
    op.execute("DROP INDEX audit_at; DROP TABLE sessions, sign_in_links, sign_in_tries, accounts, tokens")
