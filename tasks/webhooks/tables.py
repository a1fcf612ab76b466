"""Where events out are sent by HTTP, and how that went."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKeyConstraint,
    Integer,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY

from config.tables import MOMENT, index, key, metadata, optional, required

#: The SQL functions of this capability, and what each is for.
FUNCTIONS = {
    "is_for": "whether an event is for a webhook",
    "keys_now": "the keys that a webhook is signed with now",
}

webhooks = Table(
    "webhooks",
    metadata,
    key("organisation", Integer, "whose events it is sent; 0: everybody's, it is the platform's own"),
    key("id", Text),
    required("url", Text, "may hold a secret: never logged"),
    optional("types", ARRAY(Text), "null: events of every type"),
    required("key", Text, "encrypted with a key made of SECRET_KEY"),
    optional("old_key", Text, "signs beside key until old_key_until, after a rotation"),
    optional("old_key_until", MOMENT, "null: no rotation, or one that leaves no old key"),
    required("state", Text, "enabled or disabled", default="'enabled'", check="state IN ('enabled', 'disabled')"),
    optional("reason", Text, "why it is disabled"),
    required("since", MOMENT, "of the state", default="now()"),
    required("position", BigInteger, "in the order of the outbox; what is its own up to there was delivered"),
    required(
        "due_at", MOMENT, "when somebody may serve it: while it is served, when the lease runs out", default="now()"
    ),
    required("fence", Integer, "grows with each claim, as in work", default="0"),
    required("failures", Integer, "in a row", default="0"),
    optional("failing_since", MOMENT, "null: the last attempt succeeded"),
    required("delivered", BigInteger, "count of attempts", default="0"),
    required("failed", BigInteger, "count of attempts", default="0"),
    optional("delivered_at", MOMENT, "last time"),
    required("lost", Integer, "claims since it was last served in order, the one now included", default="0"),
    CheckConstraint("(reason IS NULL) = (state = 'enabled')", name="webhooks_check"),
    index("webhooks_due", "due_at", where="state = 'enabled'"),
    comment="where events out are sent by HTTP, and how far that has come",
)

webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    key("organisation", Integer),
    key("webhook", Text),
    key("delivered", Boolean),
    key("number", BigInteger, "counts on; older ones are deleted"),
    required("event", Uuid),
    required("type", Text),
    required("position", BigInteger, "of the event, as in outbox"),
    required("at", MOMENT),
    optional("status", SmallInteger, "of HTTP; null: no answer"),
    optional("problem", Text, "docs/states.md lists them; null: delivered"),
    required("milliseconds", Integer),
    required("said", Text, "the beginning of what came with a refusal"),
    ForeignKeyConstraint(["organisation", "webhook"], ["webhooks.organisation", "webhooks.id"], ondelete="CASCADE"),
    CheckConstraint("(problem IS NULL) = delivered", name="webhook_attempts_check"),
    comment="the last of each webhook's; delivered and failed ones are numbered apart",
)
