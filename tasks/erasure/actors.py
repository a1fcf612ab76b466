"""Looking for what is left of learners who were erased; soon after, and once more when nothing is under way any more.

An entry of a stream cannot be rewritten, so it is deleted, even where a group has not read it: on `rollcall:out` it
tells of a void password of somebody who has no access any more, and `rollcall.access.suspended` says so, too.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

import redis
from sqlalchemy import Connection

from config.database import retrying, transaction
from config.runtime import Runtime
from config.streams import GROUP, IN, OUT, make_redis
from tasks import bounces, enrolments, events, mail, organisations, seats, uploads, webhooks, work
from tasks.erasure import store
from tasks.erasure.rules import Needles
from tasks.work import actor

#: Time after which it is looked again: by then, what was under way (a mail, a webhook) has been written down.
AGAIN = timedelta(minutes=15)

#: How long to wait for what is being published.
PUBLISHED_SOON = timedelta(seconds=0.5)

#: How long to leave it to whoever looks at the same organisation already.
LOOKED_AT_SOON = timedelta(seconds=5)

#: Entries of a stream deleted at once, and read at once: one may have megabytes.
PAGE, PAGE_READ = 200, 20


@actor("learners.erase")
def erase(runtime: Runtime, piece: work.Piece) -> None:
    """Look everywhere for whoever is erased at an organisation, and remove what names them. Done twice, it is done."""
    number = piece.organisation
    with transaction(runtime.engine, number) as connection:
        if store.is_looked_at(connection, number, piece.work):
            work.release(connection, piece, after=LOOKED_AT_SOON, failed=False)
            return
        erased = store.to_look_for(connection, number, AGAIN)
        if not erased:
            work.finish(connection, piece)
            return
        needles = Needles.of(erased)
        named = [(one.id, one.at) for one in erased]
        id_ = organisations.numbered(connection, number).id
        numbers = [one.learner for one in erased if one.learner is not None]
        mail.forget_recipients(connection, number, numbers)
        bounces.forget(connection, number, numbers)
        mail.forget_addresses(connection, number, list(needles.digests))
        mail.forget_texts(connection, number, [one.id for one in erased])
        uploads.forget(connection, number)
        enrolments.forget_results(connection, number, numbers)
        events.forget_usernames(connection, number, named)
        webhooks.forget_answers(connection, number, [one.id for one in erased])
        for rewrite in (events.rewrite_reasons, seats.rewrite_reasons, mail.rewrite_reasons):
            rewrite(connection, number, lambda text: needles.left_of(text)[0])
    walks: tuple[Callable[[Connection, int], int | None], ...] = (
        lambda connection, after: store.forget_unresolved(connection, id_, needles, after),
        lambda connection, after: mail.rewrite_texts(connection, number, needles.left_of, after),
    )
    for look_at_page in walks:
        last: int | None = 0
        while last is not None:
            after = last
            for attempt in retrying():
                with attempt, transaction(runtime.engine, number) as connection:
                    last = look_at_page(connection, after)
    with transaction(runtime.engine, number) as connection:
        published = events.usernames_published(connection, number, named)
        if published is None:
            work.release(connection, piece, after=PUBLISHED_SOON, failed=False)
            return
    with make_redis(runtime.endpoints.redis_url) as client:
        _delete(client, OUT, (f"{position}-0" for position in published))
        _delete(client, IN, _naming(client, needles, id_))
    with transaction(runtime.engine, number) as connection:
        store.looked_for(connection, number, erased, AGAIN)
        if len(erased) < store.MOST:
            work.finish(connection, piece)
        else:
            work.release(connection, piece, after=timedelta(), failed=False)


def _delete(client: redis.Redis, stream: str, entries: Iterable[str]) -> None:
    left = iter(entries)
    while page := list(islice(left, PAGE)):
        client.xdel(stream, *page)


def _naming(client: redis.Redis, needles: Needles, organisation: str) -> Iterator[str]:
    """The entries of the inbound stream that name somebody and were taken: they stay for as long as another group has
    not read them. What is not taken yet is no less void when it is."""
    groups: list[Any] = client.xinfo_groups(IN) if client.exists(IN) else []
    delivered = next((group["last-delivered-id"].decode() for group in groups if group["name"] == GROUP.encode()), "")
    first = "-"
    while delivered:
        page: Any = client.xrange(IN, min=first, max=delivered, count=PAGE_READ)
        for entry, fields in page:
            body = fields.get(b"event", b"")
            if needles.name(body, organisation) and not client.xpending_range(IN, GROUP, entry, entry, 1):
                yield entry.decode()
        if len(page) < PAGE_READ:
            return
        first = f"({page[-1][0].decode()}"
