"""What a server delivered: its Maildir, read as a mail program would."""

import email
import email.policy
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mailboxes:
    """A Maildir that holds the mail of everybody; `named`: the header in which the server writes whose it is."""

    folder: Path
    named: str

    def messages(self) -> list[tuple[str, EmailMessage]]:
        """Every message, with the address that it was delivered to."""
        found = []
        for path in (self.folder / "new").glob("*"):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            found.append((str(message[self.named]).lower(), message))
        return found

    @property
    def recipients(self) -> list[str]:
        """Everybody who has mail, sorted; twice where there are two."""
        return sorted(address for address, _ in self.messages())

    def empty(self) -> None:
        """Throw everything away."""
        for path in (self.folder / "new").glob("*"):
            path.unlink()
