"""How an import adds and describes many learners at once: what its statements write of the tables of learners."""

from sqlalchemy import Connection

from config.database import execute

#: The beginning of a statement that adds learners with their descriptions; it runs under the organisation's lock.
ADD_DESCRIBED = """INSERT INTO learners (organisation, learner, id, standing, version, saved_version, saved_at,
                              username, email, first_name, last_name, locale, time_zone)"""

#: The beginning of a statement that describes learners anew, as the relation `new` says.
DESCRIBE = """UPDATE learners l SET username = new.username, email = new.email, first_name = new.first_name,
                    last_name = new.last_name, locale = new.locale, time_zone = new.time_zone,
                    saved_version = new.version, saved_at = new.time, standing = new.after"""

#: The beginning of a statement that writes history of status.
RECORD_STATUSES = "INSERT INTO status_changes (organisation, learner, version, occurred_at, active, cause)"


def begin_history(connection: Connection, organisation: int, low: int, high: int) -> None:
    """Write the status with which these new learners were imported as the beginning of their history."""
    execute(
        connection,
        """
        INSERT INTO status_changes (organisation, learner, version, occurred_at, active, cause)
        SELECT organisation, learner, version, saved_at, standing = 'active', 'import' FROM learners
        WHERE organisation = :organisation AND learner BETWEEN :low AND :high
        """,
        organisation=organisation,
        low=low,
        high=high,
    )
