"""Who may do what."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY

from config.tables import MOMENT, index, key, metadata, optional, required

_ROLE = "role IN ('operator', 'admin', 'reader')"
_OF_WHICH = "ids of those it is of; null: every one, as an operator's"

tokens = Table(
    "tokens",
    metadata,
    key("token", Integer, "in the order in which they were made", numbered=True),
    required("name", Text, "what the audit log calls it"),
    required("hash", LargeBinary, "SHA-256 of the token, which is kept nowhere"),
    required("role", Text, "what it is trusted with", check=_ROLE),
    optional("organisations", ARRAY(Text), _OF_WHICH),
    required("made_by", Text, "who made it, as in the audit log"),
    required("made_at", MOMENT, default="now()"),
    optional("expires_at", MOMENT, "null: never"),
    optional("used_at", MOMENT, "to the minute; null: never used"),
    optional("revoked_at", MOMENT, "null: it is valid"),
    optional("revoked_by", Text, "who revoked it; null: nobody"),
    UniqueConstraint("hash"),
    index("tokens_name", "name", unique=True, where="revoked_at IS NULL"),
    comment="what programs show to be let in",
)

accounts = Table(
    "accounts",
    metadata,
    key("account", Integer, "in the order in which they were made", numbered=True),
    required("email", Text, "who they are: in the audit log, too"),
    required("role", Text, "what they are trusted with", check=_ROLE),
    optional("organisations", ARRAY(Text), _OF_WHICH),
    optional("password", Text, "its argon2id hash; null: none was chosen yet, and nobody comes in by one"),
    optional("totp", Text, "secret of the codes asked for besides, encrypted; null: none are"),
    optional("totp_step", BigInteger, "the newest of these that was used, so that none is twice; null: none was"),
    required("made_by", Text, "who made it, as in the audit log"),
    required("made_at", MOMENT, default="now()"),
    optional("signed_in_at", MOMENT, "the last time; null: never"),
    optional("disabled_at", MOMENT, "null: it is enabled"),
    optional("disabled_by", Text, "who disabled it; null: nobody"),
    optional("provider", Text, "the OpenID provider that they sign in through; null: by a password"),
    optional("subject", Text, "what the provider knows them by"),
    UniqueConstraint("email"),
    CheckConstraint(
        "(provider IS NULL) = (subject IS NULL) AND (provider IS NULL OR password IS NULL AND totp IS NULL)",
        name="accounts_provided",
    ),
    index("accounts_subject", "provider", "subject", unique=True, where="subject IS NOT NULL"),
    comment="people who may sign in",
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    key("hash", LargeBinary, "SHA-256 of the secret in the link"),
    required("account", Integer, "whose it is"),
    required("purpose", Text, "to choose a password, or to come in", check="purpose IN ('password', 'once')"),
    required("until", MOMENT, "when it is good no more"),
    ForeignKeyConstraint(["account"], ["accounts.account"]),
    comment="links that are good once",
)

sessions = Table(
    "sessions",
    metadata,
    key("hash", LargeBinary, "SHA-256 of the secret in the cookie"),
    required("account", Integer, "who is signed in"),
    optional("address", Text, "the network address they signed in from; null: not known"),
    required("began_at", MOMENT, default="now()"),
    required("used_at", MOMENT, "to the minute", default="now()"),
    optional("browser", Text, "its family alone, as `Firefox`; null: not known"),
    ForeignKeyConstraint(["account"], ["accounts.account"]),
    index("sessions_began", "began_at"),
    comment="people who are signed in",
)

sign_in_tries = Table(
    "sign_in_tries",
    metadata,
    key("key", LargeBinary, "of an account or a network address, by a hash with a key: it is kept nowhere else"),
    required("tries", Integer, "how many there were"),
    required("until", MOMENT, "when they are forgotten"),
    index("sign_in_tries_until", "until"),
    comment="how often somebody tried to sign in lately",
)
