"""Codes that change every thirty seconds, as authenticator apps show them (RFC 6238, over RFC 4226).

The secret is kept encrypted by a key that is made of `SECRET_KEY`: the database alone does not let anybody in.
"""

import base64
import hmac
import secrets
from urllib.parse import quote

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from config.keys import keys_in
from config.signing import derived

#: Seconds that a code is shown, and how many codes before and after the present one are taken: clocks differ.
STEP_SECONDS, DRIFT = 30, 1

#: Digits of a code, as every app shows them.
DIGITS = 6

#: Bytes of a secret (RFC 4226, section 4, R6).
SECRET_BYTES = 20

PURPOSE = b"rollcall second factors"


def code_at(secret: bytes, step: int, digits: int = DIGITS, algorithm: str = "sha1") -> str:
    """The code of one step of time."""
    mac = hmac.new(secret, step.to_bytes(8, "big"), algorithm).digest()
    at = mac[-1] & 15
    return str((int.from_bytes(mac[at : at + 4], "big") & 0x7FFFFFFF) % 10**digits).zfill(digits)


def step_of(secret: bytes, code: str, now: float, last: int | None) -> int | None:
    """The step that a code is of, if it is shown about `now` (seconds since 1970) and was not used; `last`: the newest
    step that was. All are compared, in constant time."""
    present = int(now) // STEP_SECONDS
    said = "".join(code.split()).encode(errors="replace")
    steps = range(present - DRIFT, present + DRIFT + 1)
    found = [step for step in steps if hmac.compare_digest(code_at(secret, step).encode(), said)]
    return next((step for step in found if last is None or step > last), None)


class SecondFactors:
    """Makes the secrets of second factors, and encrypts and decrypts them: by the first of the keys in `SECRET_KEY`,
    and by any."""

    def __init__(self, secret_key: str) -> None:
        keys = [Fernet(base64.urlsafe_b64encode(derived(key, PURPOSE))) for key in keys_in(secret_key)]
        self._box = MultiFernet(keys)

    def make(self, email: str) -> tuple[str, str]:
        """A new secret: as the URI that apps take, which is shown once, and as it is kept."""
        secret = secrets.token_bytes(SECRET_BYTES)
        written = base64.b32encode(secret).decode()
        uri = f"otpauth://totp/{quote(f'Rollcall:{email}')}?secret={written}&issuer=Rollcall"
        return uri, self._box.encrypt(secret).decode()

    def step_of(self, kept: str, code: str, now: float, last: int | None) -> int | None:
        """As the function of this name, of a secret as it is kept; None if `SECRET_KEY` is another by now."""
        try:
            return step_of(self._box.decrypt(kept), code, now, last)
        except InvalidToken:
            return None
