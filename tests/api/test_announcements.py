"""An announcement's life over HTTP, and the lists and exports of what is sent, charged and counted."""

from http import HTTPStatus

from tests.api.conftest import Served


def test_an_announcement_is_written_changed_launched_and_deleted_over_http(api: Served) -> None:
    api.world.has_learners("A", "B")
    admin = api.client()
    draft = {"announcement": "news", "subject": "News", "body": "Hello", "audience": {"everyone": True}}

    made = admin.post("announcements", draft)
    again = admin.post("announcements", draft)
    wrong = admin.post("announcements", draft | {"announcement": "x", "audience": {"segments": ["none"]}, "body": 1})
    unknown = admin.post("announcements", draft | {"announcement": "x", "audience": {"segments": ["none"]}})

    assert (made.status, made.json) == (HTTPStatus.CREATED, {"announcement": "news", "state": "draft"})
    assert (again.status, again.json["detail"]) == (409, "There is an announcement 'news' already.")
    assert (wrong.status, wrong.pointers) == (422, ["/body"])
    assert (unknown.status, unknown.pointers) == (422, ["/audience/segments"])
    shown = admin.get("announcements/news")
    tag = shown.headers["etag"]
    changed = admin.ask("PATCH", "announcements/news", {"subject": "Newer"}, If_Match=tag)
    stale = admin.ask("PATCH", "announcements/news", {"subject": "Newest"}, If_Match=tag)
    undeleted = admin.ask("DELETE", "announcements/news", If_Match=tag)
    assert (shown.json["subject"], changed.json["subject"], changed.json["audience"]) == (
        "News",
        "Newer",
        {"everyone": True},
    )
    assert {stale.status, undeleted.status} <= {409, 412}
    assert changed.headers["etag"] == admin.get("announcements/news").headers["etag"] != tag
    timed = admin.ask("PATCH", "announcements/news", {"send_at": "2099-01-01T09:00", "time_zone": "Europe/Paris"})
    untimed = admin.ask("PATCH", "announcements/news", {"send_at": None})
    assert (timed.json["send_at"], untimed.json["send_at"]) == ("2099-01-01T08:00:00.000000Z", None)
    assert admin.post("announcements/news/preview", {}).json["will_receive"] == 2
    ready = admin.get("announcements/news/ready").json
    too_few = admin.post("announcements/news/launch", {"will_receive": 1})
    launched = admin.post("announcements/news/launch", {"will_receive": 2, "version": ready["version"]})
    assert (too_few.status, launched.json) == (409, {"announcement": "news", "state": "sending", "will_receive": 2})
    api.world.settle()

    sent = admin.get("announcements/news/recipients", state="accepted", limit=1)
    rows = admin.get("announcements/news/recipients/export", format="jsonl")
    listed = admin.get("announcements", state="finished")

    assert [one["learner"] for one in sent.json["items"]] == ["A"]
    assert [attempt["answer"] for attempt in sent.json["items"][0]["attempts"]] == ["accepted"]
    rest = admin.get("announcements/news/recipients", state="accepted", limit=1, after=sent.json["next"])
    assert ([one["learner"] for one in rest.json["items"]], rest.json["next"]) == (["B"], None)
    assert (rows.headers["content-type"], len(rows.body.splitlines())) == ("application/jsonl", 2)
    assert [(one["announcement"], one["accepted"]) for one in listed.json["items"]] == [("news", 2)]
    assert admin.ask("DELETE", "announcements/news").status == 409
    admin.post("announcements", draft | {"announcement": "gone"})
    assert admin.ask("DELETE", "announcements/gone").json == {"announcement": "gone"}
    assert admin.get("announcements/gone").status == 404


def test_what_is_suppressed_charged_and_counted_is_listed_and_exported_over_http(api: Served) -> None:
    world, admin = api.world, api.client()
    world.has_learners("A", "B")
    world.has_course("safety")
    world.asks_to_enrol("safety", "A", "B")
    world.settle()
    world.starts("A", "safety")
    world.starts("B", "safety")
    world.becomes("inactive", "B", at=world.clock)

    added = admin.post("suppressions", {"address": "A@acme.example", "why": "asked"})
    bad = admin.post("suppressions", {"address": "nobody", "why": "asked"})
    entries = admin.get("seats/ledger", limit=1)
    removed = admin.ask("DELETE", "suppressions", {"addresses": ["a@acme.example"]})

    assert added.json == {"address": "a@acme.example", "suppressed": True, "changed": True}
    assert (bad.status, bad.pointers) == (422, ["/address"])
    assert [one["learner"] for one in entries.json["items"]] == ["A"]
    more = admin.get("seats/ledger", limit=1, after=entries.json["next"]).json
    assert [one["learner"] for one in more["items"]] == ["B"]
    assert removed.json == {"lifted": 1, "dry_run": False}
    assert admin.get("suppressions").json == {"items": [], "next": None}
    assert admin.get("suppressions/export").body == b"address,reason,since,why,by\n"
    assert admin.get("seats").json["used"] == 2
    assert admin.get("seats/ledger/export", format="csv").body.count(b"\n") == 3
    assert admin.post("seats/ledger/none/reviewed", {"why": "seen"}).status == 404
    assert [one["started"] for one in admin.get("reports/summary").json] == [1]
    assert admin.get("reports/training", tab="archived", format="jsonl").body.count(b"\n") == 1
    assert admin.post("templates/digest", {"locale": "nl"}).json["locale"] == "nl"
    assert admin.get("/mail").json == {"paused": None}
    assert admin.post("/mail/pause").status == 403
