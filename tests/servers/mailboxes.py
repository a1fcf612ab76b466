"""What a server delivered: its Maildir, read as a mail program would."""

import email
import email.policy
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from pathlib import Path

#: The headers as they stand: reading them in full takes most of a second for a hundred messages.
_HEADERS = BytesHeaderParser(policy=email.policy.compat32)


@dataclass(frozen=True, slots=True)
class Mailboxes:
    """A Maildir that holds the mail of everybody; `named`: the header in which the server writes whose it is."""

    folder: Path
    named: str

    def messages(self) -> list[EmailMessage]:
        """Every message, whole."""
        return [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in self._new]

    @property
    def delivered(self) -> list[tuple[str, str]]:
        """To whom each message was delivered, and its Message-ID; sorted."""
        found = []
        for path in self._new:
            with path.open("rb") as file:
                headers = _HEADERS.parse(file)
            found.append((str(headers[self.named]).lower(), str(headers["Message-ID"])))
        return sorted(found)

    @property
    def recipients(self) -> list[str]:
        """Everybody who has mail, sorted; twice where there are two."""
        return [address for address, _ in self.delivered]

    @property
    def _new(self) -> list[Path]:
        return list((self.folder / "new").glob("*"))

    def empty(self) -> None:
        """Throw everything away."""
        for path in self._new:
            path.unlink()
