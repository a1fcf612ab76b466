"""What a server delivered: its Maildir, read as a mail program would."""

import email
import email.policy
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path


def _parted(line: str) -> tuple[str, str, str]:
    return line.partition(":")


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
            headers, _, _ = path.read_bytes().partition(b"\n\n")
            named = {name.lower(): value.strip() for name, _, value in map(_parted, headers.decode().splitlines())}
            found.append((named[self.named.lower()].lower(), named["message-id"]))
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
