"""What mail keeps that names learners who are erased, removed; as SQL (S15, R35)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from config.database import column, execute, tuples

#: Announcements of which the texts are read at once.
TEXTS = 20


def forget_recipients(connection: Connection, organisation: int, numbers: Sequence[int]) -> None:
    """Remove their addresses from the ledger, and what servers said of them, which may have been said since."""
    for ledger in (
        """
        UPDATE deliveries d SET reply = NULL, address = NULL FROM learners l, mailings m
        WHERE l.organisation = :organisation AND l.learner = ANY(CAST(:numbers AS int[])) AND l.standing = 'deleted'
          AND m.organisation = :organisation AND d.organisation = :organisation AND d.mailing = m.mailing
          AND d.recipient = l.learner AND (d.reply IS NOT NULL OR d.address IS NOT NULL)
        """,
        """
        UPDATE attempts a SET reply = NULL, address = NULL FROM learners l, mailings m
        WHERE l.organisation = :organisation AND l.learner = ANY(CAST(:numbers AS int[])) AND l.standing = 'deleted'
          AND m.organisation = :organisation AND a.organisation = :organisation AND a.mailing = m.mailing
          AND a.recipient = l.learner AND (a.reply IS NOT NULL OR a.address IS NOT NULL)
        """,
    ):
        execute(connection, ledger, organisation=organisation, numbers=list(numbers))


def forget_addresses(connection: Connection, organisation: int, digests: Sequence[bytes]) -> None:
    """Remove the suppressions of their addresses, those of before included, unless somebody else has the address."""
    for table in (
        """
        DELETE FROM suppressions s WHERE s.organisation = :organisation
          AND digest_of(s.address) = ANY(CAST(:digests AS bytea[])) AND NOT EXISTS (
              SELECT FROM learners o WHERE o.organisation = :organisation AND mail_key(o.email) = s.address)
        """,
        """
        DELETE FROM lifted_suppressions s WHERE s.organisation = :organisation
          AND digest_of(s.address) = ANY(CAST(:digests AS bytea[])) AND NOT EXISTS (
              SELECT FROM learners o WHERE o.organisation = :organisation AND mail_key(o.email) = s.address)
        """,
    ):
        execute(connection, table, organisation=organisation, digests=list(digests))


def forget_texts(connection: Connection, organisation: int, ids: Sequence[str], first: int = 0) -> None:
    """Remove the text of announcements to any of these learners, from this number on, that are to nobody but learners
    who were erased (S15)."""
    execute(
        connection,
        """
        UPDATE mailings m SET subject = '', body = ''
        WHERE organisation = :organisation AND kind = 'announcement' AND audience -> 'learners' ?| CAST(:ids AS text[])
          AND subject || body <> '' AND mailing >= :first AND NOT EXISTS (
              SELECT FROM jsonb_array_elements_text(audience -> 'learners') AS named (id)
              LEFT JOIN learners l ON l.organisation = m.organisation AND l.id = named.id
              WHERE l.standing IS DISTINCT FROM 'deleted')
        """,
        organisation=organisation,
        ids=list(ids),
        first=first,
    )


def rewrite_texts(
    connection: Connection, organisation: int, left_of: Callable[[str, str], Sequence[str]], after: int
) -> int | None:
    """Keep what is `left_of` the subject and body of announcements, whatever has been sent of them: one page; the last
    of it, or None where there is no more. One that is edited meanwhile is looked at again."""
    page = tuples(
        connection,
        """
        SELECT mailing, subject, body FROM mailings
        WHERE organisation = :organisation AND kind = 'announcement' AND mailing > :after AND subject || body <> ''
        ORDER BY mailing LIMIT :page
        """,
        organisation=organisation,
        after=after,
        page=TEXTS,
    )
    for mailing, was, said in page:
        subject, body = left_of(was, said)
        if (subject, body) != (was, said):
            execute(
                connection,
                """
                UPDATE mailings SET subject = :subject, body = :body
                WHERE organisation = :organisation AND mailing = :mailing AND subject = :was AND body = :said
                """,
                organisation=organisation,
                mailing=mailing,
                subject=subject,
                body=body,
                was=was,
                said=said,
            )
    return page[-1][0] if page else None


@dataclass(frozen=True, slots=True)
class NamingText:
    """A mailing that is about somebody, or whose text names them."""

    mailing: int
    kind: str
    id: str
    subject: str
    body: str


def texts_naming(
    connection: Connection, organisation: int, learner: int, id_: str, says: Callable[[str], bool]
) -> Iterator[NamingText]:
    """The mailings whose audience or list names a learner, and those whose subject or body does, in their order."""
    last = 0
    while page := tuples(
        connection,
        """
        SELECT mailing, kind, id, subject, body,
               coalesce(audience -> 'learners' ? :id, false) OR CAST(:learner AS int) = ANY(learners) AS is_in
        FROM mailings
        WHERE organisation = :organisation AND mailing > :last AND (subject || body <> '' OR learners <> '{}')
        ORDER BY mailing LIMIT :page
        """,
        organisation=organisation,
        learner=learner,
        id=id_,
        last=last,
        page=TEXTS,
    ):
        last = page[-1][0]
        for *found, is_in in page:
            text = NamingText(*found)
            if is_in or says(f"{text.subject}\n{text.body}"):
                yield text


def rewrite_reasons(connection: Connection, organisation: int, left_of: Callable[[str], str]) -> None:
    """Keep what is `left_of` the reasons that people gave as they suppressed addresses of others, and lifted that."""
    said = column(
        connection,
        """
        SELECT why FROM suppressions WHERE organisation = :organisation AND by_whom IS NOT NULL AND why IS NOT NULL
        UNION
        SELECT why FROM lifted_suppressions WHERE organisation = :organisation AND why IS NOT NULL
        """,
        organisation=organisation,
    )
    changed = {text: left for text in said if (left := left_of(text)) != text}
    for table in (
        """
        UPDATE suppressions s SET why = new.left_
        FROM unnest(CAST(:texts AS text[]), CAST(:lefts AS text[])) AS new (text, left_)
        WHERE s.organisation = :organisation AND s.by_whom IS NOT NULL AND s.why = new.text
        """,
        """
        UPDATE lifted_suppressions s SET why = new.left_
        FROM unnest(CAST(:texts AS text[]), CAST(:lefts AS text[])) AS new (text, left_)
        WHERE s.organisation = :organisation AND s.why = new.text
        """,
    ):
        if changed:
            execute(connection, table, organisation=organisation, texts=list(changed), lefts=list(changed.values()))
