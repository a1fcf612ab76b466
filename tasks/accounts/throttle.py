"""How often somebody may try to sign in: counted in the database, so that all processes know, and before the password
is looked at, so that tries at the same moment count as well."""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Address, ip_address

from sqlalchemy import Connection

from config.database import execute, integer
from config.signing import derived
from config.sql import query

#: Seconds that tries are counted together.
WINDOW_SECONDS = 900

#: Tries in that time: of one account, and from one address (of IPv6, one network of 64 bits).
MOST_OF_ACCOUNT, MOST_OF_ADDRESS = 10, 50

#: Rows of which the time is over that are deleted at once.
FORGOTTEN_AT_ONCE = 100

PURPOSE = b"rollcall sign-in attempts"


@dataclass(frozen=True, slots=True)
class Tries:
    """Whose tries are counted: of an account, from an address. What was typed may be a password, and is not kept."""

    account: bytes
    address: bytes

    @classmethod
    def of(cls, secret_key: str, email: str, address: str | None) -> "Tries":
        """Those that this one counts among."""
        key = derived(secret_key, PURPOSE)
        account, place = f"account {email}", f"address {_network(address or '')}"
        return cls(*(hmac.new(key, one.encode(errors="replace"), sha256).digest() for one in (account, place)))

    def count(self, connection: Connection) -> int:
        """Count one more; seconds to wait if there were too many, and 0 if it may be judged."""
        execute(
            connection,
            """
            DELETE FROM sign_in_tries WHERE key IN (
                SELECT key FROM sign_in_tries WHERE until < now() ORDER BY until LIMIT :most FOR UPDATE SKIP LOCKED)
            """,
            most=FORGOTTEN_AT_ONCE,
        )
        return integer(
            connection,
            query("accounts.count_tries"),
            window=WINDOW_SECONDS,
            keys=[self.account, self.address],
            account=self.account,
            most_of_account=MOST_OF_ACCOUNT,
            most=MOST_OF_ADDRESS,
        )

    def forgive(self, connection: Connection) -> None:
        """Somebody came in: the account's tries are forgotten, and this one of the address is."""
        locked = "SELECT key FROM sign_in_tries WHERE key = ANY(CAST(:keys AS bytea[])) ORDER BY key FOR UPDATE"
        execute(connection, locked, keys=[self.account, self.address])  # in the order of `count`: no two wait in a ring
        execute(connection, "DELETE FROM sign_in_tries WHERE key = :key", key=self.account)
        execute(
            connection, "UPDATE sign_in_tries SET tries = tries - 1 WHERE key = :key AND tries > 0", key=self.address
        )


def _network(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    return str(found.ipv4_mapped or int(found) >> 64)
