"""R31: every unique key begins with the organisation, so that rows can be spread, and moved, by it; or it is said why
one does not."""

from tests.world import World

#: Unique keys that begin with something else, and why that is in nobody's way.
OTHERWISE = {
    "the organisation itself: its number, and the id that the platform gave it": {"organisations: id"},
    "an event that came in is stored before anybody knows whose it is; its number means nothing outside the database": {
        "arrivals: id, source, organisation, since",
        "inbox: seq",
        "inbox: sha256(body)",
        "inbox: source, id, organisation",
    },
    "who may do what, in one organisation or in several": {
        "accounts: account",
        "accounts: email",
        "accounts: provider, subject",
        "sessions: hash",
        "sign_in_links: hash",
        "sign_in_tries: key",
        "tokens: hash",
        "tokens: name",
        "tokens: token",
    },
    "of cells, and of organisations by the id that is the same in all of them": {
        "cells: epoch",
        "cells: installation",
        "cells: name",
        "cells: number",
        "departed: id",
        "directory: id",
    },
    "of an installation, and of no organisation": {
        "alembic_version: version_num",
        "counted: series",
        "known_sent: message",
        "mail_control: single",
        "mail_pulses: shard",
        "pools: queue",
        "processes: process",
        "publication: single",
        "readers: name",
        "samples: at, flow",
    },
    "the place of an event in the one order of the stream, which is of everybody": {'replays: "position"'},
    "a hash of who asked, for which organisation, and the key they gave; forgotten after a day": {
        "idempotency_keys: key",
    },
}

#: Each unique key of a table, as a name of the table and what makes up the key; partitions have those of their table.
UNIQUE_KEYS = """
    SELECT c.relname || ': ' || string_agg(pg_get_indexdef(i.indexrelid, place, true), ', ' ORDER BY place)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid CROSS JOIN generate_series(1, i.indnkeyatts) AS place
    WHERE i.indisunique AND NOT c.relispartition AND c.relnamespace = CAST('public' AS regnamespace)
    GROUP BY c.relname, i.indexrelid
"""


def test_r31_every_unique_key_begins_with_the_organisation(world: World) -> None:
    keys = {*world.list(UNIQUE_KEYS)}
    otherwise = {key for key in keys if key.partition(": ")[2].split(", ")[0] != "organisation"}
    allowed = {key for keys_ in OTHERWISE.values() for key in keys_}

    assert {"enrolments: organisation, course, cycle, learner", "organisations: organisation"} <= keys
    assert otherwise - allowed == set(), "another organisation's row stands in the way of theirs"
    assert allowed - otherwise == set(), "these begin with the organisation by now, or are gone"
