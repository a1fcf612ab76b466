"""Whether mail may leave at all: paused by hand, or held because the database was restored; as SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import changes_any, execute, is_true, one, tuples, value
from tasks import work
from tasks.mail.rules import SYSTEM

#: For how long what is known to have gone is looked at before a mail of that Message-ID goes, in days. Events that are
#: sent again after a restore ask for the same mails again.
KNOWN_DAYS = 30

#: Bits of a count; those above say how often the database was restored.
COUNT_BITS = 40

#: What to do about it.
WHAT_TO_DO = {
    "by hand": "rollcall mail resume",
    "restored": "rollcall restored says what is known of what went out since, and asks",
    "settled": "resume or cancel each announcement, then rollcall mail resume",
}


@dataclass(frozen=True, slots=True)
class MailPaused:
    """Since when no mail leaves, by whom, why (by hand, restored), and what to do."""

    since: datetime
    by: str
    why: str
    what_to_do: str

    @property
    def in_words(self) -> str:
        """A pause as one line for a person."""
        why = "the database was restored from a backup" if self.why == "restored" else f"by {self.by}"
        return f"All mail is paused since {self.since:%Y-%m-%d %H:%M:%S} UTC: {why}. Do this: {self.what_to_do}."


@dataclass(frozen=True, slots=True)
class _Control:
    since: datetime
    by: str
    why: str
    asks: bool


def paused(connection: Connection) -> MailPaused | None:
    """How the pause of all mail stands, if there is one."""
    found = one(
        connection,
        _Control,
        """
        SELECT paused_at AS since, coalesce(paused_by, '') AS by, coalesce(why, '') AS why, asks FROM mail_control
        WHERE paused_at IS NOT NULL
        """,
    )
    if found is None:
        return None
    settled = found.why == "restored" and not found.asks
    return MailPaused(found.since, found.by, found.why, WHAT_TO_DO["settled" if settled else found.why])


def pause(connection: Connection, by: str) -> bool:
    """Let no mail leave: every worker obeys within a second (R20). Whether that was news. What nobody works on rests;
    whoever works on a piece finds out at the gate."""
    changed = changes_any(
        connection,
        "UPDATE mail_control SET paused_at = now(), paused_by = :by, why = 'by hand' WHERE paused_at IS NULL",
        by=by,
    )
    if changed:
        work.hold_all(connection, "mail.deliver")
    return changed


def resume(connection: Connection) -> bool:
    """Let mail leave again, but for mailings that are paused themselves; whether that was news. Not while it asks what
    is to become of the mail of a restored database."""
    changed = changes_any(
        connection,
        """
        UPDATE mail_control SET paused_at = NULL, paused_by = NULL, why = NULL
        WHERE paused_at IS NOT NULL AND NOT asks
        """,
    )
    if changed:
        paused_ = tuples(connection, "SELECT organisation, mailing FROM mailings WHERE state = 'paused'")
        work.resume_all(connection, "mail.deliver", unless=paused_)
    return changed


def hold_restored(connection: Connection) -> bool:
    """Let no mail leave, since the database was restored, before a person has said what is to become of it; whether
    that was news."""
    changed = changes_any(
        connection,
        """
        UPDATE mail_control SET paused_at = coalesce(paused_at, now()), paused_by = :by, why = 'restored', asks = true
        WHERE NOT asks
        """,
        by=SYSTEM,
    )
    if changed:  # what was known after a restore before this one, and is looked at no longer
        execute(connection, "DELETE FROM known_sent WHERE (SELECT known_until < now() FROM mail_control)")
    return changed


def awaits_decision(connection: Connection) -> bool:
    """Whether the database is known as restored, and a person is to say what is to become of its mail."""
    return is_true(connection, "SELECT asks FROM mail_control")


def was_restored(connection: Connection) -> bool:
    """Whether it was restored, now or within the time in which mails are looked up that went before."""
    return is_true(connection, "SELECT asks OR coalesce(known_until > now(), false) FROM mail_control")


def installation(connection: Connection) -> str:
    """Which database this is; a restored one says the same."""
    return str(value(connection, "SELECT CAST(installation AS text) FROM mail_control"))


def pulses(connection: Connection) -> dict[int, int]:
    """How many groups of mails were begun, by shard."""
    return dict(tuples(connection, "SELECT shard, n FROM mail_pulses"))


def pulses_now(connection: Connection) -> dict[int, int]:
    """The same, as it is at this moment, whatever moment the transaction sees; that may end it to be tried again."""
    return dict(tuples(connection, "SELECT shard, n FROM mail_pulses FOR SHARE"))


def settle_restored(connection: Connection, seen: Mapping[int, int]) -> int:
    """Go on from here: nothing is asked any more, all stays paused, and the counts go on past all that was `seen`, from
    the number that is returned. What is known of what went is looked at for a while."""
    highest = max([*seen.values(), *pulses(connection).values(), 0])
    begin = ((highest >> COUNT_BITS) + 1) << COUNT_BITS
    work.count_from(connection, begin)
    execute(
        connection,
        """
        UPDATE mail_control SET asks = false, restored_at = now(), known_until = now() + make_interval(days => :days)
        """,
        days=KNOWN_DAYS,
    )
    return begin


def remember(connection: Connection, known: Mapping[int, bool]) -> None:
    """Keep which mails went, and whether a server is known to have taken them."""
    execute(
        connection,
        """
        INSERT INTO known_sent AS known (message, accepted)
        SELECT * FROM unnest(CAST(:messages AS bigint[]), CAST(:accepted AS boolean[]))
        ON CONFLICT (message) DO UPDATE SET accepted = known.accepted OR excluded.accepted
        """,
        messages=list(known),
        accepted=list(known.values()),
    )


def recall(connection: Connection, messages: Sequence[int]) -> dict[int, bool]:
    """Those of these mails that are known to have gone, and whether a server took them; known no longer, so that a
    person may send them again."""
    return dict(
        tuples(
            connection,
            "DELETE FROM known_sent WHERE message = ANY(CAST(:messages AS bigint[])) RETURNING message, accepted",
            messages=list(messages),
        )
    )


def all_known(connection: Connection) -> dict[int, bool]:
    """All that is kept of what went."""
    return dict(tuples(connection, "SELECT message, accepted FROM known_sent"))
