"""The keys that webhooks are signed with (Standard Webhooks): kept encrypted, since the database need not know them."""

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from standardwebhooks import Webhook

from config.keys import keys_in
from config.signing import derived

#: Bytes of a signing key; the specification asks for 24 to 64.
KEY_BYTES = 32

#: What the key that encrypts is for: from the same SECRET_KEY others are made, for other ends.
PURPOSE = b"rollcall webhooks"


class KeyUnreadable(Exception):
    """The signing key was encrypted with a SECRET_KEY that is not set any more."""


class SigningKeys:
    """Makes signing keys, and encrypts and decrypts them: by the first of the keys in `SECRET_KEY`, and by any."""

    def __init__(self, secret_key: str) -> None:
        self._box = MultiFernet(
            [Fernet(base64.urlsafe_b64encode(derived(key, PURPOSE))) for key in keys_in(secret_key)]
        )

    def make(self) -> tuple[str, str]:
        """A new signing key: as it is shown, once, and as it is kept."""
        key = "whsec_" + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        return key, self._box.encrypt(key.encode()).decode()

    def read(self, kept: Sequence[str]) -> list[str]:
        """Signing keys as they are used. Raises `KeyUnreadable`."""
        try:
            return [self._box.decrypt(key).decode() for key in kept]
        except InvalidToken:
            raise KeyUnreadable from None


def signed(keys: Sequence[str], id_: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers that say who sends this and when, with a signature by each key."""
    text = body.decode()
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(key).sign(id_, at, text) for key in keys),
    }
