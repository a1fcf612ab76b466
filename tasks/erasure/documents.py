"""All that is kept of a learner, looked for where an erasure looks for it: what they may ask to see (R35)."""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from config.database import one, tuples
from config.sql import query
from config.words import as_json, with_rfc3339
from tasks import events, mail, uploads
from tasks.erasure.rules import Erased, Needles

#: Decisions read at once.
PAGE = 500


def document(connection: Connection, organisation: int, id_: str, learner: int, named: str) -> Iterator[bytes]:
    """One JSON document: the learner, and under the name of each table what it keeps of them, in its order. Nothing in
    it says when it was made: as long as nothing changes, it stays the same. `named`: the learner's id."""
    yield b'{"organisation":%b,"learner":%b,"kept":{' % (_json(id_), _json(named))
    open_: str | None = None
    for table, said in _stored(connection, organisation, id_, learner, named):
        if table != open_:
            yield b"%b%b:[\n%b" % (b"" if open_ is None else b"],\n", _json(table), said)
        else:
            yield b",\n" + said
        open_ = table
    yield b"}}\n" if open_ is None else b"]}}\n"


def _stored(
    connection: Connection, organisation: int, id_: str, learner: int, named: str
) -> Iterator[tuple[str, bytes]]:
    """What is kept, table by table: what names them by number, and what does in a text."""
    for table, said in tuples(
        connection, query("erasure.kept_of_learner"), organisation=organisation, learner=learner, id=named
    ):
        yield table, with_rfc3339(said.encode())
    known = one(connection, Erased, query("erasure.known_by"), organisation=organisation, learner=learner)
    needles = Needles.of([] if known is None else [known])
    for name, found in (
        ("inbox", _events(connection, id_, needles)),
        ("mailings", mail.texts_naming(connection, organisation, learner, named, needles.says)),
        ("uploads", uploads.results_naming(connection, organisation, needles.says)),
        ("upload_blocks", uploads.lines_naming(connection, organisation, needles.says)),
    ):
        for one_ in found:
            yield name, as_json(one_)


def _events(connection: Connection, id_: str, needles: Needles) -> Iterator[object]:
    """The events that were not taken and say who they are, and those that were given up or taken for a reason that
    does."""
    last = 0
    while page := events.unresolved_after(connection, id_, last):
        last = page[-1].seq
        for event in page:
            if needles.name(event.body, id_):
                yield {"seq": event.seq, "reason": event.reason, "body": event.body.decode(errors="replace")}
    last = 0
    while decided := events.decided(connection, id_, last, PAGE):
        last = decided[-1].number
        yield from (one for one in decided if needles.says(one.why))


def _json(said: Any) -> bytes:
    return json.dumps(said, ensure_ascii=False).encode()
