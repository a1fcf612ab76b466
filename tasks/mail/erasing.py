"""What the ledger forgets of a learner who is erased (S15), as SQL."""

from sqlalchemy import Connection

from config.database import execute


def forget(connection: Connection, organisation: int, learner: int) -> None:
    """Remove what the ledger holds of a learner's addresses, today's and those before: where mail went, what servers
    said of it, and what is suppressed or was lifted (S15)."""
    theirs = """
        (SELECT lower(l.email) AS address FROM learners l WHERE l.organisation = :organisation AND l.learner = :learner
         UNION
         SELECT lower(d.address) FROM mailings m JOIN deliveries d USING (organisation, mailing)
         WHERE m.organisation = :organisation AND d.recipient = :learner
         UNION
         SELECT lower(a.address) FROM mailings m JOIN attempts a USING (organisation, mailing)
         WHERE m.organisation = :organisation AND a.recipient = :learner) AS theirs
        """
    nobody_elses = """NOT EXISTS (
              SELECT FROM learners o WHERE o.organisation = :organisation AND o.learner <> :learner
                AND lower(o.email) = theirs.address)"""
    for ledger in (
        f"""
        DELETE FROM suppressions s USING {theirs}
        WHERE s.organisation = :organisation AND s.address = theirs.address AND {nobody_elses}
        """,
        f"""
        DELETE FROM lifted_suppressions s USING {theirs}
        WHERE s.organisation = :organisation AND s.address = theirs.address AND {nobody_elses}
        """,
        """
        UPDATE deliveries d SET reply = NULL, address = NULL FROM mailings m
        WHERE m.organisation = :organisation AND d.organisation = m.organisation AND d.mailing = m.mailing
          AND d.recipient = :learner AND (d.reply IS NOT NULL OR d.address IS NOT NULL)
        """,
        """
        UPDATE attempts a SET reply = NULL, address = NULL FROM mailings m
        WHERE m.organisation = :organisation AND a.organisation = m.organisation AND a.mailing = m.mailing
          AND a.recipient = :learner AND (a.reply IS NOT NULL OR a.address IS NOT NULL)
        """,
    ):
        execute(connection, ledger, organisation=organisation, learner=learner)
