"""Waking the mail pool: from the commit of a piece of work for one person to its claim, with everybody idle."""

import time
from dataclasses import dataclass

import psycopg

from bench.figures import Ratio, percentiles
from bench.system import MAIL, RELAY, Database, System

#: Seconds of rest before each piece, so that it finds everybody idle; uneven, to fall on any moment of anybody's pause.
_RESTS = (0.043, 0.061, 0.036, 0.057, 0.028)

#: Pieces for one round.
_ROUND = 50

#: Claims are announced as they become visible. The mailing is unknown, so a piece ends as soon as it is claimed.
_PREPARE = """
    CREATE FUNCTION claimed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NOTIFY claimed; RETURN NULL; END $$;
    CREATE TRIGGER claimed AFTER UPDATE ON work FOR EACH ROW WHEN (NEW.state = 'running') EXECUTE FUNCTION claimed();
    CREATE TABLE plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, learner int);
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    pieces: int


def measure(system: System, size: Size) -> list[Ratio]:
    """Milliseconds at the median and at the 99th percentile, beside one durable INSERT of one row."""
    ours, theirs = [], []
    with system.database("waking", 1) as database:
        database.execute(_PREPARE)
        with (
            system.processes(database, RELAY | MAIL),
            psycopg.connect(database.url, autocommit=True) as listener,
        ):
            listener.execute("LISTEN claimed")
            for number in range(size.pieces):
                time.sleep(_RESTS[number % len(_RESTS)])
                theirs.append(_insert(database, number))
                time.sleep(_RESTS[-1 - number % len(_RESTS)])
                ours.append(_wake(database, listener))
    what, against = "a mail to one person: committed to claimed", "one row inserted and committed by psycopg"
    return percentiles(what, against, ours, theirs, _ROUND)


def _wake(database: Database, listener: psycopg.Connection[tuple[object, ...]]) -> float:
    """Milliseconds from the commit until the claim is heard of."""
    database.execute("INSERT INTO work (organisation, queue, actor, subject) VALUES (1, 'mail', 'mail.deliver', 1)")
    committed = time.perf_counter()
    for _ in listener.notifies(timeout=30, stop_after=1):
        return (time.perf_counter() - committed) * 1000
    raise RuntimeError("nobody claimed it")


def _insert(database: Database, number: int) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    database.execute(f"INSERT INTO plain (learner) VALUES ({number})")
    return (time.perf_counter() - begun) * 1000
