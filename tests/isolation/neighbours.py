"""Two organisations that use the same ids for everything, and all that belongs to one of them."""

import json
from datetime import datetime
from typing import Any

from tasks import webhooks
from tests.world import World

OURS, THEIRS = "acme", "borealis"

#: Stands in every text of theirs: nothing that is said to anybody else may contain it, or their id.
SECRET = "Whisper"

#: An id that only they use: of a learner, a course, a segment, an announcement, an event and a webhook.
ONLY_THEIRS = "solo"

#: What no event makes.
BY_HAND = (
    """
    INSERT INTO audit (organisation, at, who, door, act, after, outcome)
    SELECT organisation, at, 'root', 'command', 'learners.status', json_build_object('of', name), 'done'
    FROM organisations, unnest(ARRAY[now(), '2999-01-01']) AS at  -- for each partition
    """,
    """
    INSERT INTO audit_refusals (organisation, who, door, address)
    SELECT organisation, name, 'command', '' FROM organisations
    """,
    """
    INSERT INTO mailings (organisation, kind, id, state, policy, subject, body, audience)
    SELECT organisation, 'announcement', 'unsent', 'draft', 'hold', name, name, '{"everyone": true}' FROM organisations
    """,
    """
    INSERT INTO mailings (organisation, mailing, kind, id, state, policy, subject, launched_at, finished_at, counted_at,
                          counts)
    OVERRIDING SYSTEM VALUE
    SELECT organisation, 4611686018427387904, 'announcement', 'far', 'finished', 'hold', name, now(), now(), now(),
           '[{"state": "accepted", "reason": null, "n": 1}]'
    FROM organisations
    """,
    """
    INSERT INTO deliveries (organisation, mailing, recipient, state, settled_at)
    SELECT organisation, mailing, 1, 'accepted', now() FROM mailings WHERE id = 'far'  -- for each partition
    """,
    """
    INSERT INTO attempts (organisation, mailing, recipient, attempted_at, reason)
    SELECT organisation, min(mailing), 1, at, 'deferred'
    FROM mailings, unnest(ARRAY[now(), '2999-01-01']) AS at GROUP BY organisation, at  -- for each partition
    """,
    """
    INSERT INTO outbox (organisation, type, data, time, position)
    SELECT organisation, 'rollcall.access.suspended', json_build_object('learner', name), '2999-01-01', 0 - organisation
    FROM organisations  -- for each partition
    """,
    "INSERT INTO suppressions (organisation, address, reason) SELECT organisation, 'x@x', '' FROM organisations",
    "INSERT INTO unsubscribed (organisation, learner) SELECT organisation, 1 FROM organisations",
    """
    INSERT INTO bounces (organisation, mailing, recipient, kind, fingerprint)
    SELECT organisation, min(mailing), 1, 'soft', '' FROM mailings GROUP BY organisation
    """,
    """
    INSERT INTO lifted_suppressions (organisation, address, by_whom)
    SELECT organisation, 'y@x', '' FROM organisations
    """,
    """
    INSERT INTO replays (organisation, seq, position)
    SELECT organisation, min(seq), -organisation FROM outbox GROUP BY organisation
    """,
    """
    INSERT INTO settled_reviews (organisation, consumption, code, by_whom, why)
    SELECT organisation, min(consumption), '', '', '' FROM consumptions GROUP BY organisation
    """,
    """
    INSERT INTO webhook_attempts (organisation, webhook, delivered, number, event, type, position, at, problem,
                                  milliseconds, said)
    SELECT organisation, id, false, 1, gen_random_uuid(), '', 1, now(), 'refused', 1, url FROM webhooks
    """,
    "INSERT INTO former_addresses (organisation, learner, digest) SELECT organisation, 1, 'x' FROM organisations",
    """
    INSERT INTO erasures (organisation, id, until, digests, names)
    SELECT organisation, 'ghost', now(), '{}', '{}' FROM organisations
    """,
    """
    INSERT INTO deletions (organisation, learner, occurred_at) SELECT organisation, 1, '2000-01-01' FROM organisations
    """,
    """
    INSERT INTO descriptions (organisation, learner, occurred_at, version, said)
    SELECT organisation, 1, '2000-01-01', 0, json_build_object('first_name', name) FROM organisations
    """,
    """
    INSERT INTO uploads (organisation, asked)  -- theirs has number 1
    SELECT organisation, json_build_object('of', name) FROM organisations ORDER BY organisation DESC
    """,
    """
    INSERT INTO upload_blocks (organisation, upload, part, number, block)
    SELECT organisation, upload, 'file', 1, '' FROM uploads
    """,
    """
    INSERT INTO searchable (organisation, learner, said)
    SELECT l.organisation, l.learner, search_text(l) FROM learners l ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO search_ends (organisation, through) SELECT organisation, learners FROM organisations
    ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO halts (organisation, kind, by_whom, why)
    SELECT organisation, 'imports.run', 'root', name FROM organisations
    """,
    "INSERT INTO counts (organisation, asked_at) SELECT organisation, now() FROM organisations",
    "INSERT INTO course_counts SELECT organisation, 'x', name, 1, 1, 1, 1, 1 FROM organisations",
    "INSERT INTO segment_counts SELECT organisation, 'x', name, 1, 1, 1, 1 FROM organisations",
    "INSERT INTO training_days SELECT organisation, 'x', '2026-01-01', 1, 1 FROM organisations",
    "INSERT INTO ledger_days SELECT organisation, 'seat', '2026-01-01', '2026-01-01', 1, 1, 1 FROM organisations",
    "INSERT INTO unsearchable (organisation, learner) SELECT organisation, 1 FROM organisations",
    """
    INSERT INTO void_enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at)
    SELECT organisation, min(course), 9, 1, true, 0, now() FROM courses GROUP BY organisation
    """,
)


def furnish_both(world: World) -> None:
    """Two organisations, each with something of everything under the same ids, and nothing left to do."""
    furnish(world, THEIRS)
    furnish(world, OURS)
    for statement in BY_HAND:
        world.execute(statement)


def furnish(world: World, organisation: str) -> None:
    """Give an organisation something of everything, and leave nothing to do."""
    name, ids = (organisation, []) if organisation == OURS else (f"{SECRET} {organisation}", [ONLY_THEIRS])

    def say(type_: str, *said: dict[str, Any], id_: str | None = None, at: datetime | None = None) -> None:
        whose = {"organisation": organisation, "source": f"urn:{organisation}"}
        world.send(*(world.event(type_, data, id_=id_, at=at, **whose) for data in said))

    def learner(id_: str, **said: object) -> dict[str, Any]:
        return world.learner(id_, **{"email": f"{id_.lower()}@{organisation}.example", "first_name": name, **said})

    licence = {"name": name, "licence": "credits", "pool": 5, "admin_emails": [f"boss@{organisation}.example"]}
    say("organisation.saved", licence)
    say("learner.saved", *(learner(id_) for id_ in ("A", "D", *ids)), learner("B", status="inactive"))
    say("learner.saved", learner("C", email=None))
    say("segment.saved", *({"segment": id_, "name": name} for id_ in ("nurses", *ids)))
    say("segment.joined", {"segment": "nurses", "learners": ["A", "B", *ids]})
    say("course.saved", {"course": "safety", "title": name, "cost": 2, "method": "everyone"})
    say("course.saved", {"course": "law", "title": name, "method": "segments", "segments": ["nurses"]})
    say("course.saved", *({"course": id_, "title": name} for id_ in ("art", *ids)))
    say("enrolment.requested", {"request": "r1", "course": "art", "learners": ["A", "B", "D", *ids], "tab": "all"})
    say("enrolment.withdrawn", {"course": "art", "learners": ["D"]})
    say("enrolment.requested", {"request": "r2", "course": "art", "learners": ["D"], "tab": "all"})
    started = world.clock
    say("course.started", *({"learner": id_, "course": "safety"} for id_ in ("A", "D", *ids)))
    say("course.completed", {"learner": "A", "course": "safety", "result": name})
    say("learner.status_changed", {"learner": "D", "status": "inactive"}, at=started)  # to be reviewed, therefore
    say("learner.status_changed", *({"learner": id_, "status": "active"} for id_ in ("C", "D")))
    say("course.started", {"learner": "B", "course": "safety"}, id_="held")
    for event in ("waits", *ids):
        say("course.started", {"learner": "ghost", "course": "safety"}, id_=event)
    mail = {"subject": name, "body": name, "audience": {"everyone": True}}
    say("announcement.requested", {"announcement": "sent", **mail})
    for announcement in ("draft", "scheduled", "sending", "paused", *ids):
        say("announcement.requested", {"announcement": announcement, "send_at": "2099-01-01T00:00:00Z", **mail})
    with world.about(organisation) as (connection, org):
        for webhook in ("hook", *ids):
            _, kept = webhooks.SigningKeys(world.runtime.endpoints.secret_key).make()
            url = f"https://hooks.invalid/{name.split()[0]}"
            webhooks.add(connection, org.organisation, webhook, url, None, kept, None)
    world.settle()


def tables_of_organisations(world: World) -> set[str]:
    """Every table, and view, that has organisations."""
    return set(
        world.list(
            """
            SELECT table_name FROM information_schema.columns
            WHERE column_name = 'organisation' AND table_schema = current_schema()
            """
        )
    )


def number_of(world: World, organisation: str) -> int:
    """The number of an organisation."""
    return int(world.ask("SELECT organisation FROM organisations WHERE id = :id", id=organisation))


def belongings(world: World, organisation: str) -> dict[str, list[str]]:
    """All that is an organisation's, in the tables, on the outgoing stream and in the mail, as text."""
    names = [organisation, str(number_of(world, organisation))]
    tables = sorted(tables_of_organisations(world))
    of_each = (  # in one statement: it is asked after each of many commands
        f"SELECT '{table}', CAST(to_jsonb(t) AS text) FROM {table} t WHERE CAST(organisation AS text) = ANY(:names)"
        for table in tables
    )
    found: dict[str, list[str]] = {table: [] for table in tables}
    for table, row in world.rows(" UNION ALL ".join(of_each) + " ORDER BY 1, 2", names=names):
        found[table].append(row)
    found["rollcall:out"] = [json.dumps(event) for event in world.out() if event["organisation"] == organisation]
    found["mail"] = [address for address in world.mail.recipients if address.endswith(f"@{organisation}.example")]
    return found
