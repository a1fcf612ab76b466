"""What is said once on the page that somebody goes to after a form: signed for the session, in a cookie."""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

import msgspec

from tasks import accounts
from workers.web.console.visits import Gone, Undo

#: Characters of the cookie at most: what undoes an act on so many that it does not fit is not offered.
LONGEST = 3500

#: Octets of what it says, however small it was made.
LARGEST = 100_000


@dataclass(frozen=True, slots=True)
class Flash:
    """What was done, and the form that does the reverse, if there is one."""

    says: str
    undo: Undo | None = None


class Flashes:
    """Writes and reads them. `keys`: the first signs, any is accepted."""

    def __init__(self, keys: list[str]) -> None:
        self._keys = keys

    def written(self, session: str, gone: Gone) -> str:
        """The cookie of what a form ended in."""
        whole = self._signed(session, Flash(gone.flash, gone.undo))
        return whole if len(whole) <= LONGEST else self._signed(session, Flash(gone.flash))

    def read(self, session: str, cookie: str) -> Flash | None:
        """What a cookie says, if we wrote it for this session."""
        text, _, signed = cookie.partition(".")
        if not text or not accounts.is_form_key(self._keys, session + text, signed):
            return None
        packed = zlib.decompressobj().decompress(urlsafe_b64decode(text), LARGEST)
        return msgspec.json.decode(packed, type=Flash)

    def _signed(self, session: str, flash: Flash) -> str:
        text = urlsafe_b64encode(zlib.compress(msgspec.json.encode(flash), 9)).decode()
        return f"{text}.{accounts.form_key(self._keys[0], session + text)}"
