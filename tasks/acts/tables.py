"""What is kept of requests that may be repeated."""

from sqlalchemy import LargeBinary, SmallInteger, Table, Uuid

from config.tables import MOMENT, index, key, metadata, optional, required

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    key("key", LargeBinary, "SHA-256 of who asks, of which organisation, and the key they gave"),
    required("asked", LargeBinary, "SHA-256 of what is asked: another request under the same key is refused"),
    required("request", Uuid, "what ids of events are made from, the same at each try", default="gen_random_uuid()"),
    optional("status", SmallInteger, "of HTTP; null: not answered yet, or whoever was to answer is gone"),
    optional("answer", LargeBinary, "encrypted by a key that is made of the key they gave, which is kept nowhere"),
    required("at", MOMENT, "when it was asked first", default="now()"),
    index("idempotency_keys_oldest", "at"),
    comment="answers to requests that say which they are, for a day (Idempotency-Key)",
)
