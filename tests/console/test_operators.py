"""R31, R33, R34: what operators see and do, by forms alone; and what of it an organisation's people do about theirs."""

import json

import pytest
import redis

from config.database import transaction
from tasks import mail, system
from tasks.accounts import Role
from tasks.system import Flow
from tests.console.conftest import Consoled
from tests.round_trips import counted
from workers.relay.sampling import TakeSamples
from workers.relay.wake import WOKEN

WORK, QUARANTINE = "system/work", "system/quarantine"


@pytest.fixture(autouse=True)
def _acme(console: Consoled) -> None:
    world = console.world
    world.has_organisation()
    world.organisation = "zeta"
    world.has_organisation(name="Zeta")
    world.organisation = "acme"
    world.has_learners("ann", "bob")
    world.has_course("safety")
    world.settle()


def set_aside(console: Consoled, *numbers: int) -> None:
    for number in numbers:
        console.world.execute(
            "INSERT INTO work (organisation, work, queue, actor, subject, state, due_at) OVERRIDING SYSTEM VALUE"
            " VALUES (1, :n, 'bulk', 'mail.deliver', 7, 'failing', now() + interval '1 hour')",
            n=number,
        )


def test_the_overview_says_that_all_is_well_or_what_is_not(console: Consoled) -> None:
    operator = console.visitor(Role.OPERATOR).open("system")
    assert (operator.status, "All is well" in operator.says) == (200, True)

    set_aside(console, 901, 902)
    console.world.starts("ghost", "safety")
    console.world.settle()
    console.world.execute("UPDATE inbox SET state = 'quarantined' WHERE state = 'waiting'")
    operator.open("system")
    assert "2 things need a look" in operator.says
    assert operator.says.index("2 pieces of work are set aside.") < operator.says.index("1 event is in quarantine.")
    assert 'href="/console/system/work"' in operator.text


def test_pools_and_all_mail_rest_and_go_on(console: Consoled) -> None:
    operator = console.visitor(Role.OPERATOR).open("system")
    operator.send("system/pools/bulk", ("why", "the mail server is full <b>"))
    assert "The pool bulk is paused." in operator.says
    assert "the mail server is full <b>" in operator.says
    operator.send("system/mail", ("wanted", "pause"))
    assert "All mail is paused since" in operator.says
    operator.send("system/mail", ("wanted", "resume"))
    operator.send("system/pools/bulk", ("wanted", "resume"))
    assert (operator.status, "All is well" in operator.says) == (200, True)
    refused = operator.open("system").send("system/pools/tasks", ("why", " "))
    assert (refused.status, "Say why" in refused.says) == (422, True)
    audited = console.world.rows("SELECT act, outcome FROM audit WHERE door = 'console' ORDER BY at, id")
    assert audited == [(f"{act}", "done") for act in ("system.pause", "mail.pause", "mail.resume", "system.resume")]


def test_the_work_of_an_organisation_rests_and_goes_on(console: Consoled) -> None:
    operator = console.visitor(Role.OPERATOR).open("system")
    operator.send("system/halts", ("organisation", "zeta"), ("why", "they asked for it"))
    assert "That work is not begun until it is resumed." in operator.says
    assert "they asked for it" in operator.says
    operator.open(
        "system/halts",
        [("key", key_of(operator.text)), ("organisation", "zeta"), ("wanted", "resume")],
        Sec_Fetch_Site="same-origin",
    )
    assert "That work is begun again." in operator.says
    assert "they asked for it" not in operator.says
    acts = console.world.list("SELECT act FROM audit WHERE door = 'console' ORDER BY at, id")
    assert acts == ["work.pause", "work.resume"]


def test_samples_are_kept_a_minute_each_for_two_days_and_shown(
    console: Consoled, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, chore = console.world, TakeSamples(console.world.runtime)
    world.execute("DELETE FROM samples")
    chore.do()
    world.execute("UPDATE samples SET at = at - interval '1 minute'")
    world.has_course("fire", "everyone")
    WOKEN["tasks"] += 3
    world.settle()
    with counted(world.runtime, monkeypatch) as trips:
        counting = TakeSamples(trips.runtime)
        counting._before = chore._before
        counting.do()
        trips.since()
        counting.do()
        assert len(trips.statements) <= 8, "of a minute, of which an idle installation has 20 a second"
        assert trips.since()["redis"] <= 2
    chore.do()
    found = world.rows("SELECT flow, passed FROM samples ORDER BY at, flow")
    assert len(found) == 10, "one for each flow and minute"
    assert {passed for _, passed in found[:5]} == {None}
    passed = dict(found[5:])
    assert passed["tasks"] >= 3
    assert passed["in"] == 1
    assert passed["out"] > 0

    world.execute("UPDATE samples SET at = at - interval '48 hours'")
    WOKEN["tasks"] += 1
    chore.do()
    assert world.ask("SELECT count(*) FROM samples") == 5
    operator = console.visitor(Role.OPERATOR).open("system")
    assert operator.text.count('class="sparkline"') == 2 * len(Flow)
    assert "now 0, between 0 and 0" in operator.text


def test_while_redis_is_away_what_waits_there_is_not_known(console: Consoled, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> int:
        raise redis.ConnectionError

    console.world.execute("DELETE FROM samples")
    monkeypatch.setattr(system, "unread", away, raising=False)
    TakeSamples(console.world.runtime).do()
    assert dict(console.world.rows("SELECT flow, waiting FROM samples")) == {
        "tasks": 0, "mail": 0, "bulk": 0, "in": None, "out": 0,
    }  # fmt: skip


def test_failing_work_is_tried_again_or_given_up_singly_and_in_bulk(console: Consoled) -> None:
    set_aside(console, 901, 902, 903)
    operator = console.visitor(Role.OPERATOR).open(WORK)
    operator.send(WORK, ("work", "901"), ("wanted", "retry"))
    assert "1 piece of work is tried again." in operator.says
    assert console.world.list("SELECT state FROM work WHERE work = 901") != ["failing"]
    operator.open(
        f"{WORK}/confirm",
        [("key", key_of(operator.text)), ("work", "902"), ("work", "903")],
        Sec_Fetch_Site="same-origin",
    )
    assert "Give up 2 pieces of work?" in operator.says
    operator.send(WORK)
    assert "2 pieces of work were given up." in operator.says
    assert "No work is set aside." in operator.says
    nothing = operator.open(WORK, [("key", key_of(operator.text)), ("wanted", "retry")], Sec_Fetch_Site="same-origin")
    assert (nothing.status, "Nothing is ticked" in nothing.says) == (422, True)


def key_of(text: str) -> str:
    return text.split('name="key" value="')[1].split('"', maxsplit=1)[0]


def test_s12_quarantined_events_are_released_and_discarded_in_bulk_with_a_reason(console: Consoled) -> None:
    world = console.world
    for organisation in ("acme", "zeta"):
        world.organisation = organisation
        for n in range(3):
            world.starts(f"ghost{n}", "safety")
    world.organisation = "acme"
    world.settle()
    world.execute("UPDATE inbox SET state = 'quarantined', reason = 'unknown learner' WHERE state = 'waiting'")
    ours = world.list("SELECT seq FROM inbox WHERE state = 'quarantined' AND organisation = 'acme' ORDER BY seq")
    theirs = world.list("SELECT seq FROM inbox WHERE state = 'quarantined' AND organisation = 'zeta' ORDER BY seq")

    admin = console.visitor().open("organisations/acme/technical/quarantine")
    assert admin.text.count("data-key") == 3
    assert "zeta" not in admin.text
    refused = admin.send(
        "organisations/acme/technical/quarantine/confirm", ("event", str(theirs[0])), ("wanted", "discard")
    ).send("organisations/acme/technical/quarantine", ("why", "mine"))
    assert refused.status == 404
    assert world.ask("SELECT count(*) FROM inbox WHERE state = 'discarded'") == 0

    operator = console.visitor(Role.OPERATOR).open(f"{QUARANTINE}?organisation=zeta&state=quarantined")
    assert operator.text.count("data-key") == 3
    operator.send(f"{QUARANTINE}/confirm", *(("event", str(n)) for n in (theirs[0], ours[0])), ("wanted", "discard"))
    assert "Discard 2 events?" in operator.says
    operator.send(QUARANTINE, ("why", "sent by a test system"))
    assert "2 events were discarded." in operator.says
    assert "sent by a test system" in operator.open(f"{QUARANTINE}/decided").says
    bare = operator.open(QUARANTINE).send(f"{QUARANTINE}/confirm", ("event", str(ours[1])), ("wanted", "release"))
    assert bare.send(QUARANTINE, ("why", " ")).status == 422


def test_what_is_on_its_way_is_listed_of_everybody(console: Consoled) -> None:
    world = console.world
    world.announces("news")
    world.execute("UPDATE mailings SET state = 'sending', launched_at = now(), finished_at = NULL WHERE id = 'news'")
    world.execute(
        "INSERT INTO fanouts (organisation, courses, cycle, cause, occurred_at, selected, enrolled)"
        " SELECT organisation, '{}', 1, 'arrival', now(), 70, 12 FROM organisations WHERE id = 'zeta'"
    )
    says = console.visitor(Role.OPERATOR).open("system").says
    assert "announcement acme · news sending" in says
    assert "zeta arrival" in says
    assert " 70 12 " in says


def test_r15_a_suppressed_address_is_found_and_lifted_with_a_reason(console: Consoled) -> None:
    world, path = console.world, "organisations/acme/technical/suppressions"
    with world.about("acme") as (connection, org):
        for address in ("ann@acme.example", "bob@acme.example", "zoe@else.example"):
            mail.suppress(connection, org.organisation, address, mail.Suppressed.HARD, why="5.1.1")
    admin = console.visitor().open(f"{path}?search=@ACME.example")
    assert admin.text.count("data-key") == 2
    assert console.visitor().open(f"{path}?search=zoe@else.example").text.count("data-key") == 1
    assert "No suppressed address fits." in console.visitor().open(f"{path}?search=nobody").says
    admin.send(path, ("address", "ann@acme.example"), ("why", "the mailbox is there again"))
    assert "1 address gets mail again." in admin.says
    assert world.ask("SELECT why FROM lifted_suppressions") == "the mailbox is there again"
    admin.send(f"{path}/add", ("address", "Cy@acme.example"), ("why", "asked by phone"))
    assert "It gets no more mail." in admin.says
    reader = console.visitor(Role.READER).open(path)
    assert "cy@acme.example" in reader.says
    assert "Let them get mail again" not in reader.text
    assert "address,reason" in reader.open(f"{path}/export").text
    assert "acme" in console.visitor(Role.OPERATOR).open("system/suppressions").says


def test_webhooks_are_added_tested_paused_and_enabled(console: Consoled) -> None:
    path = "organisations/acme/technical/webhooks"
    admin = console.visitor().open(path)
    assert "There is no webhook." in admin.says
    admin.send(path, ("url", "https://hooks.invalid/x"), ("id", "hook"))
    assert (admin.status, "shown this once" in admin.says, "whsec_" in admin.says) == (200, True, True)
    one = f"{path}/hook"
    admin.open(one).send(one, ("wanted", "test"))
    assert "The test was not taken: unknown host." in admin.says
    admin.open(one).send(one, ("wanted", "disable"))
    assert "Nothing is sent to it until it is enabled." in admin.says
    assert "disabled" in console.visitor(Role.READER).open(path).says
    admin.send(one, ("wanted", "enable"), ("skip", "yes"))
    assert "Events are sent to it again." in admin.says
    assert "webhooks/hook" not in console.visitor(Role.OPERATOR).open("system/webhooks").text
    with transaction(console.runtime.engine, 1) as connection:
        key = connection.exec_driver_sql("SELECT after::text FROM audit WHERE act = 'webhooks.add'").scalar()
    assert "whsec" not in str(key)


def test_the_audit_log_is_chosen_from_gone_through_and_exported(console: Consoled) -> None:
    admin, operator = console.visitor(), console.visitor(Role.OPERATOR)
    admin.open("organisations/acme/learners/ann").send("organisations/acme/learners/ann", leave=frozenset({"active"}))
    operator.open("system").send("system/mail", ("wanted", "pause"))

    own = admin.open("organisations/acme/technical/audit?act=learners")
    assert "learners.deactivate" in own.says
    assert "mail.pause" not in own.says
    assert "There is no such entry." in admin.open("organisations/acme/technical/audit?who=nobody").says
    every = operator.open("system/audit")
    assert "learners.deactivate" in every.says
    assert "mail.pause" in every.says
    assert 'href="/console/system/audit/export"' in every.text
    rows = operator.open("system/audit/export?format=jsonl&act=mail").text.splitlines()
    assert [json.loads(row)["act"] for row in rows] == ["mail.pause"]
    assert admin.open("system/audit/export").status == 403
    assert "learners.deactivate" in admin.open("organisations/acme/technical/audit/export").text


def test_r34_admins_see_nothing_of_the_installation(console: Consoled) -> None:
    admin = console.visitor().open("organisations/acme/users")
    assert "/console/system" not in admin.text
    for path in ("system", WORK, QUARANTINE, "system/audit", "system/accounts", "system/tokens", "system/webhooks"):
        assert admin.open(path).status == 403, path
    assert "/console/system" in console.visitor(Role.OPERATOR).open("organisations").text
