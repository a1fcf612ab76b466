"""The time, which is the database's: clocks of hosts may be minutes apart, and what one writes another reads."""

from datetime import UTC, datetime, timedelta

#: By how much the clocks of this host and of the database may differ before that counts: less is not known for sure,
#: and hosts that keep time have less.
TOLERATED = timedelta(seconds=1)

#: How far the database's clock is ahead of this host's.
_ahead = timedelta()


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC) + _ahead


def seconds() -> float:
    """The same, as Unix time in seconds."""
    return now().timestamp()


def learn(said: datetime, asked: datetime) -> None:
    """Go by what the database's clock said, of which it was asked when this host's clock said `asked`."""
    global _ahead  # noqa: PLW0603 - one process has one database
    answered = datetime.now(UTC)
    found = said - asked - (answered - asked) / 2
    _ahead = found if abs(found) > TOLERATED + (answered - asked) else timedelta()
