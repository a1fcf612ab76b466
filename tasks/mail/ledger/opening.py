"""Opening the ledger of a mailing: who is to get it, who not and why, and the work of sending; as SQL."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from config.database import execute, tuples
from tasks.mail.rules import Kind
from tasks.work import ADD

#: The highest number that a learner can have.
MOST_LEARNERS = 2**31 - 1


def new_mailings(
    connection: Connection,
    organisation: int,
    kind: Kind,
    causes: Iterable[tuple[str, str]],
    *,
    learners: Sequence[int] = (),
    figures: Mapping[str, object] | None = None,
) -> dict[tuple[str, str], int]:
    """Mailings that are sent as they are: notices, which are resent where it is uncertain whether they went (S10).

    One for each event that causes one, known by its source and id; some say `learners`, some `figures`.
    """
    named = list(dict.fromkeys(causes))
    found = tuples(
        connection,
        """
        INSERT INTO mailings AS known (organisation, kind, source, id, state, policy, learners, figures,
                                       launched_at)
        SELECT :organisation, :kind, source, id, 'sending', 'resend', CAST(:learners AS int[]),
               CAST(:figures AS jsonb), now()
        FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS new (source, id)
        ON CONFLICT (organisation, kind, source, id) DO UPDATE SET id = known.id
        RETURNING mailing, source, id
        """,
        organisation=organisation,
        kind=kind.value,
        sources=[source for source, _ in named],
        ids=[id_ for _, id_ in named],
        learners=list(learners),
        figures=figures and msgspec.json.encode(figures).decode(),
    )
    return {(source, id_): mailing for mailing, source, id_ in found}


#: The gate's verdict on the learner `l`, as an expression of a statement that says which kind of mailing it is, and
#: how that stands. Who is left out is looked for one by one, but only where the organisation has anybody to leave out.
VERDICT = """mail_verdict({kind}, {state}, l.standing, l.email,
        (SELECT EXISTS (SELECT FROM unsubscribed WHERE organisation = :organisation)) AND EXISTS (
            SELECT FROM unsubscribed u WHERE u.organisation = :organisation AND u.learner = l.learner),
        (SELECT EXISTS (SELECT FROM suppressions WHERE organisation = :organisation)) AND EXISTS (
            SELECT FROM suppressions s WHERE s.organisation = :organisation AND s.address = mail_key(l.email)))"""

#: The learners from :low to :high who are in an audience, as a relation of a FROM. An empty list is nobody (R13);
#: whoever is in three segments is there once. Those whom an audience names are looked up one by one, whatever the
#: planner believes: how many the organisation has, or only ever mentioned, costs nothing.
_AUDIENCE = """(
    SELECT every.* FROM learners every
    WHERE (SELECT a.audience ? 'everyone' FROM {of})
      AND every.organisation = :organisation AND every.learner BETWEEN :low AND :high
    UNION ALL
    SELECT one.* FROM (
        SELECT n.organisation, n.learner
        FROM (SELECT a.organisation, jsonb_array_elements_text(a.audience -> 'learners') AS id FROM {of}) named
        CROSS JOIN LATERAL (
            SELECT l.organisation, l.learner FROM learners l
            WHERE l.organisation = named.organisation AND l.id = named.id OFFSET 0) n
        WHERE n.learner BETWEEN :low AND :high
        UNION
        SELECT g.organisation, g.learner
        FROM (SELECT a.organisation, jsonb_array_elements_text(a.audience -> 'segments') AS id FROM {of}) named
        CROSS JOIN LATERAL (
            SELECT s.organisation, s.segment FROM segments s
            WHERE s.organisation = named.organisation AND s.id = named.id OFFSET 0) s
        CROSS JOIN LATERAL (
            SELECT m.organisation, m.learner FROM memberships m
            WHERE m.organisation = s.organisation AND m.segment = s.segment AND m.member
              AND m.learner BETWEEN :low AND :high OFFSET 0) g
        OFFSET 0
    ) chosen CROSS JOIN LATERAL (
        SELECT l.* FROM learners l
        WHERE l.organisation = chosen.organisation AND l.learner = chosen.learner OFFSET 0) one
)"""

#: Those in the audience of the mailing whose number is :mailing; and in an :audience that no mailing has yet.
AUDIENCE = _AUDIENCE.format(of="mailings a WHERE a.organisation = :organisation AND a.mailing = :mailing")
WRITTEN_AUDIENCE = _AUDIENCE.format(
    of="(SELECT CAST(:organisation AS int) AS organisation, CAST(:audience AS jsonb) AS audience) a"
)

#: What a verdict makes of a delivery: (state, reason, settled_at).
_OPENED = """CASE WHEN verdict = 'send' THEN CAST('pending' AS delivery_state)
            WHEN verdict = 'cancelled' THEN 'cancelled' ELSE 'skipped' END,
       nullif(verdict, 'send'), CASE WHEN verdict <> 'send' THEN now() END"""

#: Who is to get a mailing, judged by the gate when the ledger is opened: held back, with the reason, or pending. The
#: relation `chosen` (organisation, mailing, learner, verdict) follows.
_OPEN = f"""INSERT INTO deliveries (organisation, mailing, recipient, state, reason, settled_at)
        SELECT organisation, mailing, learner, {_OPENED}"""
_JUDGED = VERDICT.format(kind="m.kind", state="CASE WHEN m.state = 'cancelled' THEN m.state ELSE 'sending' END")

#: For a statement that knows its `candidates` (learner, silent, verdict) in a chunk: opens the ledger of :mailing, if
#: there is one, for those who are to be pairs and are not in it yet.
OPEN_FOR_CANDIDATES = f"""
INSERT INTO deliveries (organisation, mailing, recipient, state, reason, settled_at)
SELECT :organisation, :mailing, learner, {_OPENED}
FROM candidates c
WHERE CAST(:mailing AS bigint) IS NOT NULL AND NOT silent AND learner NOT IN (
    SELECT d.recipient FROM deliveries d
    WHERE d.organisation = :organisation AND d.mailing = :mailing AND same_month(d.mailing, :mailing)
      AND d.recipient BETWEEN :low AND :high)
"""


def open_for_enrolled(
    connection: Connection, organisation: int, mailing: int, courses: Sequence[int], cycle: int, low: int, high: int
) -> None:
    """Open the ledger of a notice for those of a chunk whom it tells of an enrolment in one of these courses."""
    execute(
        connection,
        f"""
        {_OPEN}
        FROM (
            SELECT m.organisation, m.mailing, l.learner, {_JUDGED} AS verdict
            FROM mailings m JOIN learners l ON l.organisation = m.organisation
            WHERE m.organisation = :organisation AND m.mailing = :mailing
              AND l.organisation = :organisation AND l.learner BETWEEN :low AND :high
              AND l.learner IN (
                  SELECT e.learner FROM enrolments e
                  WHERE e.organisation = :organisation AND e.course = ANY(CAST(:courses AS int[])) AND e.cycle = :cycle
                    AND e.learner BETWEEN :low AND :high AND e.notice = :mailing)
              AND l.learner NOT IN (
                  SELECT d.recipient FROM deliveries d
                  WHERE d.organisation = :organisation AND d.mailing = :mailing AND same_month(d.mailing, :mailing)
                    AND d.recipient BETWEEN :low AND :high)
            OFFSET 0) chosen
        """,
        organisation=organisation,
        mailing=mailing,
        courses=list(courses),
        cycle=cycle,
        low=low,
        high=high,
    )


def open_for_pairs(connection: Connection, organisation: int, pairs: Sequence[tuple[int, int]]) -> None:
    """Open the ledgers of many small notices at once, (mailing, learner) each, and the work of sending them."""
    mailings = [mailing for mailing, _ in pairs]
    parameters: dict[str, object] = {
        "organisation": organisation,
        "mailings": mailings,
        "learners": [learner for _, learner in pairs],
    }
    execute(
        connection,
        f"""
        {_OPEN}
        FROM (
            SELECT m.organisation, m.mailing, l.learner, {_JUDGED} AS verdict
            FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:mailings AS bigint[])) AS mailing,
                         unnest(CAST(:learners AS int[])) AS learner) pairs
            JOIN mailings m ON m.organisation = pairs.organisation AND m.mailing = pairs.mailing
            JOIN learners l ON l.organisation = pairs.organisation AND l.learner = pairs.learner) chosen
        ON CONFLICT DO NOTHING
        """,
        **parameters,
    )
    execute(
        connection,
        f"""
        {ADD}
        SELECT :organisation, 'mail', 'mail.deliver', d.mailing, d.recipient, d.recipient
        FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:mailings AS bigint[])) AS mailing,
                     unnest(CAST(:learners AS int[])) AS learner) pairs
        CROSS JOIN LATERAL (
            SELECT d.mailing, d.recipient FROM deliveries d
            WHERE d.organisation = pairs.organisation AND d.mailing = pairs.mailing AND d.recipient = pairs.learner
              AND in_months(d.mailing, :lowest, :highest) AND d.state = 'pending' OFFSET 0) d
        """,
        **parameters,
        lowest=min(mailings, default=0),
        highest=max(mailings, default=0),
    )


def audience_stretches(
    connection: Connection, organisation: int, mailing: int, low: int, high: int, size: int
) -> list[tuple[int, int]]:
    """From which number to which so many at a time of an audience reach: those who are saved, by their numbers."""
    return tuples(
        connection,
        f"""
        SELECT min(learner) AS low, max(learner) AS high FROM (
            SELECT l.learner, (row_number() OVER (ORDER BY l.learner) - 1) / CAST(:size AS int) AS place
            FROM {AUDIENCE} l WHERE l.standing IN ('active', 'inactive')) placed
        GROUP BY place ORDER BY 1
        """,
        organisation=organisation,
        mailing=mailing,
        low=low,
        high=high,
        size=size,
    )


def open_for_audience(connection: Connection, organisation: int, mailing: int, low: int, high: int) -> int:
    """Open the ledger of an announcement for those of a stretch of learners who are in its audience; how many."""
    return execute(
        connection,
        f"""
        {_OPEN}
        FROM (
            SELECT m.organisation, m.mailing, l.learner, {_JUDGED} AS verdict
            FROM mailings m CROSS JOIN {AUDIENCE} l
            WHERE m.organisation = :organisation AND m.mailing = :mailing AND l.standing IN ('active', 'inactive')
        ) chosen
        ON CONFLICT DO NOTHING
        """,
        organisation=organisation,
        mailing=mailing,
        low=low,
        high=high,
    )


def open_for_admins(connection: Connection, organisation: int, mailing: int, addresses: Sequence[str]) -> None:
    """Open the ledger of a notice to the organisation's admins."""
    execute(
        connection,
        """
        INSERT INTO deliveries (organisation, mailing, recipient, state, address)
        SELECT :organisation, :mailing, CAST(-n AS int), 'pending', address
        FROM unnest(CAST(:addresses AS text[])) WITH ORDINALITY AS new (address, n)
        """,
        organisation=organisation,
        mailing=mailing,
        addresses=list(dict.fromkeys(addresses)),
    )


def notify_admins(
    connection: Connection,
    organisation: int,
    kind: Kind,
    cause: tuple[str, str],
    addresses: Sequence[str],
    *,
    learners: Sequence[int] = (),
    figures: Mapping[str, object] | None = None,
) -> None:
    """A notice to the organisation's admins, of an event that happens once. To nobody it is finished at once (R22)."""
    mailing = new_mailings(connection, organisation, kind, [cause], learners=learners, figures=figures)[cause]
    many = len(addresses)
    if many:
        open_for_admins(connection, organisation, mailing, addresses)
        enqueue(connection, organisation, mailing, "mail", -many, -1, size=many)


def enqueue(
    connection: Connection, organisation: int, mailing: int, queue: str, low: int, high: int, size: int
) -> None:
    """Write down the work of sending what is pending in a stretch of recipients, `size` in a piece.

    Called once for each stretch: no recipient may be in two pieces, or they could get two mails.
    """
    execute(
        connection,
        f"""
        {ADD}
        SELECT :organisation, :queue, 'mail.deliver', :mailing, them[n], them[least(n + :size - 1, cardinality(them))]
        FROM (
            SELECT array_agg(recipient ORDER BY recipient) AS them FROM deliveries
            WHERE organisation = :organisation AND mailing = :mailing AND same_month(mailing, :mailing)
              AND recipient BETWEEN :low AND :high AND state = 'pending') pending
        CROSS JOIN generate_series(1, cardinality(them), CAST(:size AS int)) AS n ORDER BY n
        """,
        organisation=organisation,
        queue=queue,
        mailing=mailing,
        low=low,
        high=high,
        size=size,
    )
