"""The recipients of an announcement as its admin deals with them: before the launch, retried, cancelled; as SQL."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection

from config.database import execute, is_true, one, rows, tuples, value, without_nested_loops
from config.sql import query
from tasks import work
from tasks.mail.ledger.gate import Recipient
from tasks.mail.ledger.opening import MOST_LEARNERS, VERDICT, WRITTEN_AUDIENCE
from tasks.mail.rules import Verdict

#: Pieces of work whose recipients are cancelled in one transaction: some 20,000 mails.
PIECES = 100


@dataclass(frozen=True, slots=True)
class AudienceVerdict:
    """How many of an audience the gate judges so, and how many of them have nothing to say in a merge field, if that
    was counted."""

    verdict: str
    n: int
    first_name: int
    last_name: int
    full_name: int
    username: int


#: The merge fields that say what a learner is called.
NAMES = frozenset({"first_name", "last_name", "full_name"})

#: What a merge field is filled with: nothing, where it holds no more than blanks and marks that order (`merge.said`).
_EMPTY = r"coalesce({}, '') ~ '^[\x01-\x20\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$'"

#: The gate's verdict on each learner of an audience, were it made now.
_JUDGED = f"""
SELECT l.learner, l.first_name, l.last_name, l.username,
       {VERDICT.format(kind="'announcement'", state="'sending'")} AS verdict
FROM {WRITTEN_AUDIENCE} l
WHERE l.standing IN ('active', 'inactive')
"""

_COUNTED = f"""
SELECT verdict, count(*) AS n, count(*) FILTER (WHERE no_first_name) AS first_name,
       count(*) FILTER (WHERE no_last_name) AS last_name,
       count(*) FILTER (WHERE no_first_name AND no_last_name) AS full_name,
       count(*) FILTER (WHERE no_username) AS username
FROM (
    SELECT verdict, CAST(:names AS boolean) AND {_EMPTY.format("first_name")} AS no_first_name,
           CAST(:names AS boolean) AND {_EMPTY.format("last_name")} AS no_last_name,
           CAST(:usernames AS boolean) AND {_EMPTY.format("username")} AS no_username
    FROM ({_JUDGED}) judged
) said
GROUP BY verdict ORDER BY verdict
"""

_FIRST = f"SELECT learner FROM ({_JUDGED}) judged WHERE verdict = 'send' ORDER BY learner LIMIT 1"

#: Learners, by their numbers, among whom the first is looked for who would get an announcement; and how many times as
#: many they are each time that nobody is.
FIRST_STRETCH, LONGER = 200, 20


def judged_audience(
    connection: Connection, organisation: int, audience: Mapping[str, object], fields: Collection[str] = ()
) -> list[AudienceVerdict]:
    """Who would get an announcement to this audience were it launched now, and who not, by the gate itself (R16), and
    for whom these fields have nothing to say: in one statement, however many they are."""
    said = msgspec.json.encode(audience).decode()
    asked: dict[str, object] = {"audience": said, "low": 1, "high": MOST_LEARNERS, **_parts(fields)}
    return rows(connection, AudienceVerdict, _COUNTED, organisation=organisation, **asked)


def _parts(fields: Collection[str]) -> dict[str, bool]:
    """Which parts of what learners are called are looked at: each of a million costs time."""
    return {"names": not NAMES.isdisjoint(fields), "usernames": "username" in fields}


def judged_everyone(connection: Connection, organisation: int, fields: Collection[str] = ()) -> list[AudienceVerdict]:
    """The same of all learners, by the few whom the gate holds back; of the names, not of usernames. It is
    asked with the rights of the tables' owner, so that row security leaves the plan as it is."""
    without_nested_loops(connection)
    names = not NAMES.isdisjoint(fields)
    found = rows(connection, AudienceVerdict, query("mail.count_everyone"), organisation=organisation, names=names)
    return [each for each in found if each.n]


def some_recipient(connection: Connection, organisation: int, audience: Mapping[str, object]) -> Recipient | None:
    """The first of an audience who would get the announcement, or None where nobody would."""
    said = msgspec.json.encode(audience).decode()
    for low, high in _stretches():
        if found := value(connection, _FIRST, organisation=organisation, audience=said, low=low, high=high):
            return _numbered(connection, organisation, found)
    return None


def _stretches() -> Iterator[tuple[int, int]]:
    """Stretches of learners, each longer than the one before: to find somebody among a million, few are judged."""
    low, high = 1, FIRST_STRETCH
    while low <= MOST_LEARNERS:
        yield low, min(high, MOST_LEARNERS)
        low, high = high + 1, high * LONGER


def _numbered(connection: Connection, organisation: int, learner: int) -> Recipient | None:
    return one(connection, Recipient, query("mail.as_recipient"), organisation=organisation, learner=learner)


def any_accepted(connection: Connection, organisation: int) -> bool:
    """Whether the mail server has accepted any mail of this organisation yet."""
    return is_true(
        connection,
        "SELECT EXISTS (SELECT FROM deliveries WHERE organisation = :organisation AND state = 'accepted')",
        organisation=organisation,
    )


def as_recipient(connection: Connection, organisation: int, learner: str) -> Recipient | None:
    """A learner, by their id, as what a message is made of; None where they are not known."""
    number = value(
        connection,
        "SELECT learner FROM learners WHERE organisation = :organisation AND id = :id",
        organisation=organisation,
        id=learner,
    )
    return None if number is None else _numbered(connection, organisation, number)


def nobody_in_particular(address: str) -> Recipient:
    """Somebody of whom nothing but an address is known."""
    return Recipient(0, "", 0, False, Verdict.SEND, address, "", "", "", "", [])


_ADDRESS = f"""
SELECT coalesce(
    (SELECT verdict FROM (
        SELECT {VERDICT.format(kind="'announcement'", state="'sending'")} AS verdict FROM learners l
        WHERE l.organisation = :organisation AND mail_key(l.email) = mail_key(:address)
          AND l.standing IN ('active', 'inactive')
    ) theirs ORDER BY verdict <> 'send' LIMIT 1),
    mail_verdict('announcement', 'sending', 'active', :address, false, EXISTS (
        SELECT FROM suppressions s WHERE s.organisation = :organisation AND s.address = mail_key(:address)))
)
"""


def verdict_on(connection: Connection, organisation: int, address: str) -> str:
    """The gate's verdict on an address that an admin names, which may be a learner's (R15)."""
    return str(value(connection, _ADDRESS, organisation=organisation, address=address))


#: Those of a mailing who stand as :states say, and what the gate would say of them now.
_SETTLED = f"""
SELECT d.recipient, d.settled_at, d.code, d.reason, d.reply, d.address,
       {VERDICT.format(kind="m.kind", state="'sending'")} AS verdict
FROM deliveries d
JOIN mailings m USING (organisation, mailing)
JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
WHERE d.organisation = :organisation AND d.mailing = :mailing AND same_month(d.mailing, :mailing)
  AND d.state = ANY(CAST(CAST(:states AS text[]) AS delivery_state[]))
"""


def make_pending(connection: Connection, organisation: int, mailing: int, states: list[str]) -> int:
    """Make those pending again who stand as `states` say and whom the gate would let through now; how many (R18).

    What became of them before is kept as an attempt, by which they are found again, as one that settled nothing.
    """
    execute(
        connection,
        f"""
        INSERT INTO attempts (organisation, mailing, recipient, attempted_at, code, reason, reply, address)
        SELECT :organisation, :mailing, recipient, settled_at, code, reason, reply, address
        FROM ({_SETTLED}) settled WHERE verdict = 'send'
        ON CONFLICT DO NOTHING
        """,
        organisation=organisation,
        mailing=mailing,
        states=states,
    )
    return execute(
        connection,
        """
        UPDATE deliveries d SET state = 'pending', attempts = 0, settled_at = NULL, due_at = NULL, code = NULL,
            reason = NULL, reply = NULL, address = NULL
        FROM attempts a
        WHERE d.organisation = :organisation AND d.mailing = :mailing AND same_month(d.mailing, :mailing)
          AND a.organisation = d.organisation AND a.mailing = d.mailing AND a.recipient = d.recipient
          AND a.attempted_at = d.settled_at AND d.state = ANY(CAST(CAST(:states AS text[]) AS delivery_state[]))
        """,
        organisation=organisation,
        mailing=mailing,
        states=states,
    )


def left_settled(connection: Connection, organisation: int, mailing: int, states: list[str]) -> dict[str, int]:
    """Those who stand as `states` say, by what the gate would say of them now."""
    found = tuples(
        connection,
        f"SELECT verdict, count(*) AS n FROM ({_SETTLED}) settled GROUP BY verdict ORDER BY verdict",
        organisation=organisation,
        mailing=mailing,
        states=states,
    )
    return dict(found)


def cancel_idle(connection: Connection, organisation: int, mailing: int) -> int:
    """Cancel the recipients of pieces on which nobody works, and the pieces with them; how many pieces (R20).

    A piece in which sending has begun is left to whoever works on it, or takes it over: theirs may have gone (R19).
    """
    idle = tuples(
        connection,
        """
        SELECT work, low, high FROM work
        WHERE organisation = :organisation AND subject = :mailing AND actor = 'mail.deliver'
          AND state IN ('due', 'offered', 'held', 'failing') AND begun IS NULL
        ORDER BY work LIMIT :limit FOR UPDATE SKIP LOCKED
        """,
        organisation=organisation,
        mailing=mailing,
        limit=PIECES,
    )
    for _, low, high in idle:  # all at once would be a join, which the planner may do by going through all for each
        execute(
            connection,
            """
            UPDATE deliveries SET state = 'cancelled', reason = 'cancelled', settled_at = now(), due_at = NULL,
                code = NULL, reply = NULL
            WHERE organisation = :organisation AND mailing = :mailing AND same_month(mailing, :mailing)
              AND recipient BETWEEN :low AND :high AND state = 'pending'
            """,
            organisation=organisation,
            mailing=mailing,
            low=low,
            high=high,
        )
    if idle:
        work.discard(connection, organisation, [piece for piece, _, _ in idle])
    return len(idle)
