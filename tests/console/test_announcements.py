"""R16, R18, R19, R20, R31, R34: the Announcements section, by forms alone, as a browser without scripts sends them."""

import re
from urllib.parse import quote

import pytest

from tasks.accounts import Role
from tasks.acts import Nothing
from tasks.acts import mail as mail_acts
from tests.acts.doing import do
from tests.console.conftest import Consoled, Visitor

ALL = "organisations/acme/announcements"
NEW = "organisations/acme/drafts/new"
SEE = "organisations/acme/drafts/see"
FRAME = "organisations/acme/drafts/frame"


@pytest.fixture(autouse=True)
def _acme(console: Consoled) -> None:
    world = console.world
    world.has_organisation()
    world.has_learners("ann", "bob", "cid")
    world.becomes("inactive", "cid")


def writes(visitor: Visitor, *said: tuple[str, str], to: str = NEW, at: str = NEW, **fields: str) -> Visitor:
    """Fill in the editor's form, and press one of its buttons."""
    filled = {"subject": "News", "body": "Hello {{ first_name }}.", **fields}
    leave = frozenset({*filled, *(name for name, _ in said)})
    form = visitor.form(at)
    sent = [*(one for one in form if one[0] not in leave), *filled.items(), *said]
    return visitor.open(to, sent, Sec_Fetch_Site="same-origin")


def made(visitor: Visitor, **fields: str) -> str:
    """The path of a new draft."""
    writes(visitor.open(NEW), **fields)
    assert (visitor.status, "The draft is kept." in visitor.says) == (200, True), visitor.says
    return visitor.at.removeprefix("/console/")


def test_r16_a_draft_is_written_counted_and_launched_by_a_confirmation_that_names_the_number(console: Consoled) -> None:
    admin = console.visitor()
    assert "There are no announcements yet." in admin.open(ALL).says
    writes(admin.open(NEW), ("then", "launch"))

    assert "Send it to 2 users?" in admin.says
    assert "1 of 3 is left out: 1 inactive" in admin.says
    one = admin.at.removeprefix("/console/").removesuffix("/launch")
    admin.send(f"{one}/launch", ("when", "now"))
    assert "It is on its way to 2 users." in admin.says
    console.world.comes_to_rest()

    assert sorted(console.world.mail.recipients) == ["ann@acme.example", "bob@acme.example"]
    said = admin.open(one).says
    for part in ("finished", "3 of 3, 100 %", "2 accepted by the mail server", "1 left out: inactive", "launched"):
        assert part in said, part
    assert "News" in admin.open(ALL).says
    assert "There is no such announcement." in admin.open(f"{ALL}?state=draft").says


def test_every_mistake_stands_at_its_line_and_a_hole_is_foretold(console: Consoled) -> None:
    console.world.has_learners("dot", first_name="")
    admin = writes(console.visitor().open(NEW), to=NEW, body="One\r\n{{ nick }}\r\n}}")

    assert admin.status == 422
    assert re.findall(r'data-line="(\d+)"', admin.text) == ["2", "3"]
    assert 'aria-invalid="true"' in admin.text
    assert 'aria-describedby="body-hint body-mistakes"' in admin.text
    writes(admin, to=SEE, at=NEW)
    assert "Line 1: 1 of 3 has no first_name, and it has no default: there will be a hole." in admin.says
    assert "3 users will get it." in admin.says
    assert "aria-invalid" not in admin.text
    assert console.world.ask("SELECT count(*) FROM mailings WHERE kind = 'announcement'") == 0


@pytest.mark.parametrize("view", ["desktop", "text", "dark"])
def test_a_preview_is_a_document_that_can_do_nothing(console: Consoled, view: str) -> None:
    admin = console.visitor().open(NEW)
    body = "[x](https://evil.example/)\n\n<b onclick=x>Hi</b> **{{ first_name }}**\n\n![A hall](https://evil.example/p)"
    writes(admin, ("view", view), to=FRAME, body=body)

    policy = admin.headers["content-security-policy"]
    for said in ("default-src 'none'", "frame-ancestors 'self'", "form-action 'none'", "; sandbox", "img-src data:;"):
        assert said in policy
    assert "script-src" not in policy
    assert "Firstann" in admin.text
    assert ("<strong>Firstann" in admin.text) is (view != "text")
    assert 'href="' not in admin.text
    assert "onclick" not in admin.text
    assert ("@media all{" in admin.text, "@media not all{" in admin.text) == (view == "dark", view == "desktop")
    assert "prefers-color-scheme" not in admin.text


def test_the_editor_may_frame_our_own_pages_and_no_other_page_may(console: Consoled) -> None:
    admin = console.visitor()
    one = made(admin)

    for path, frames in ((NEW, True), (one, True), (f"{one}/edit", True), (ALL, False), (f"{one}/launch", False)):
        policy = admin.open(path).headers["content-security-policy"]
        assert ("frame-src 'self'" in policy) is frames, path
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert all("sandbox" in frame for frame in re.findall("<iframe[^>]*>", admin.text))
    assert "Hello Firstbob." in admin.open(f"{one}/frame?view=text&reader=bob").text
    assert "no learner" in admin.open(f"{one}/frame?reader=none").text


def test_of_two_who_change_one_draft_the_second_is_told_what_the_first_changed(console: Consoled) -> None:
    ann, bob = console.visitor(), console.visitor(Role.OPERATOR)
    one = made(ann, body="One\nTwo")
    edit = f"{one}/edit"
    ann.open(edit), bob.open(edit)
    writes(ann, to=edit, at=edit, subject="Hers", body="One\nHers")
    assert "The draft is kept." in ann.says
    writes(bob, ("policy", "resend"), to=edit, at=edit, subject="News", body="One\nHis")

    assert bob.status == 409
    assert "admin-acme@acme.example changed this draft after you opened it:" in bob.says
    assert "the subject: theirs is in the form now." in bob.says
    assert "the text: you changed it, too. Yours is in the form; theirs is below." in bob.says
    assert "-Hers" in bob.says
    assert "+His" in bob.says
    assert 'value="Hers"' in bob.text
    writes(bob, ("policy", "resend"), to=edit, at=edit, subject="Hers", body="One\nHis")
    assert "The draft is kept." in bob.says
    row = console.world.rows("SELECT subject, body, policy FROM mailings WHERE kind = 'announcement'")
    assert row == [("Hers", "One\nHis", "resend")]


def test_whom_it_is_for_is_chosen_and_what_is_wrong_is_said_at_its_field(console: Consoled) -> None:
    world, admin = console.world, console.visitor()
    world.has_segment("night", "ann", "cid")
    writes(admin.open(NEW), ("to", "segments"), ("segment", "night"), to=SEE)
    assert "1 user will get it. 1 of 2 is left out: 1 inactive" in admin.says
    writes(admin.open(NEW), ("to", "learners"), ("named", "ann\r\nnobody\r\n"))
    assert (admin.status, "There is no learner 'nobody'" in admin.says) == (422, True)
    writes(admin.open(NEW), ("when", "later"), ("send_at", "2001-01-01T09:00"), ("time_zone", "Europe/Paris"))
    assert (admin.status, "2001-01-01 09:00 Europe/Paris has passed" in admin.says) == (422, True)
    writes(admin.open(NEW), ("when", "later"), ("send_at", ""))
    assert (admin.status, 'id="send_at-problem"' in admin.text) == (422, True)
    assert "It is not saved yet:" in admin.says
    assert '<a href="#send_at">' in admin.text

    one = made(admin, to_="", named="ann")
    writes(admin.open(f"{one}/edit"), ("to", "learners"), ("named", "ann"), to=f"{one}/edit", at=f"{one}/edit")
    assert "1 user by name" in admin.says


def test_what_is_wrong_is_said_in_the_words_of_the_form_and_in_the_language_of_its_reader(console: Consoled) -> None:
    later = ("when", "later"), ("time_zone", "Europe/Brussels")
    wrong: tuple[tuple[list[tuple[str, str]], dict[str, str]], ...] = (
        ([*later, ("send_at", "2001-01-01T09:00")], {}),
        ([*later, ("send_at", "")], {}),
        ([], {"body": "Dag {{ voornaam }}"}),
        ([("to", "learners"), ("named", "nobody")], {}),
    )
    told = {
        "en": (
            "2001-01-01 09:00 Europe/Brussels has passed: choose a time that lies ahead.",
            "Choose a day and a time.",
            "Line 1: {{ voornaam }} is not a merge field.",
            "There is no learner 'nobody' in the organisation 'acme'.",
        ),
        "nl": (
            "2001-01-01 09:00 Europe/Brussels is voorbij: kies een tijd die nog komt.",
            "Kies een dag en een tijd.",
            "Regel 1: {{ voornaam }} is geen samenvoegveld.",
            "Er is geen gebruiker 'nobody' in de organisatie 'acme'.",
        ),
    }
    for language, sentences in told.items():
        admin = console.visitor()
        admin.cookies["rollcall-language"] = language
        for (more, fields), sentence in zip(wrong, sentences, strict=True):
            writes(admin.open(NEW), *more, **fields)
            assert (admin.status, sentence in admin.says) == (422, True), (sentence, admin.says)
            assert "--send-at" not in admin.says
            assert "'?'" not in admin.says


def test_r20_what_has_a_time_is_scheduled_and_made_a_draft_again(console: Consoled) -> None:
    admin = console.visitor()
    at = {"when": "later", "send_at": "2099-07-01T09:00", "time_zone": "Europe/Paris"}
    one = made(admin, **at)
    writes(admin.open(f"{one}/edit"), to=f"{one}/edit", at=f"{one}/edit", subject="Later", **at)
    assert "1 Jul 2099 07:00 set in Europe/Paris" in admin.says
    assert "Schedule it, or send it now?" in admin.open(f"{one}/launch").says
    admin.send(f"{one}/launch", ("when", "later"))

    assert "It is scheduled" in admin.says
    admin.send(f"{one}/move", ("move", "unschedule"))
    assert "It is a draft again" in admin.says
    assert (admin.open(f"{one}/edit").status, admin.open(f"{one}/recipients").status) == (200, 200)
    admin.open(one).send(f"{one}/delete")
    assert (admin.at, "The draft is deleted." in admin.says) == (f"/console/{ALL}", True)


def test_a_test_goes_to_oneself_and_counts_nowhere(console: Consoled) -> None:
    admin = console.visitor()
    one = made(admin)
    assert 'value="admin-acme@acme.example"' in admin.text
    admin.send(f"{one}/test")

    assert "The test is on its way to admin-acme@acme.example: the mail server took it." in admin.says
    assert console.world.mail.recipients == ["admin-acme@acme.example"]
    console.world.mail.on_recipient = lambda _address, _times: "550 no such user"
    admin.send(f"{one}/test")
    assert "550" in admin.says


def test_r20_somebody_pauses_resumes_and_cancels_and_it_is_said(console: Consoled) -> None:
    admin = console.visitor()
    one = made(admin)
    admin.open(f"{one}/launch").send(f"{one}/launch", ("when", "now"))

    for move, said in (("pause", "It is paused"), ("resume", "It goes on."), ("cancel", "It is cancelled")):
        admin.send(f"{one}/move", ("move", move))
        assert said in admin.says
    console.world.comes_to_rest()
    assert "2 cancelled" in admin.open(one).says
    assert console.world.mail.recipients == []
    admin.open(one)
    key = dict(admin.form(f"{one}/move") if f"/console/{one}/move" in admin.text else [("key", key_of(admin))])["key"]
    admin.open(f"{one}/move", [("key", key), ("move", "pause")], Sec_Fetch_Site="same-origin")
    assert (admin.status, "to pause it, it has to be sending" in admin.says) == (409, True)


def test_why_no_mail_leaves_is_said_with_a_way_to_mend_it_that_one_can_click(console: Consoled) -> None:
    admin, operator = console.visitor(), console.visitor(Role.OPERATOR)
    one = made(admin)
    do(console.world, mail_acts.pause, Nothing(), None)
    admin.open(f"{one}/launch").send(f"{one}/launch", ("when", "now"))

    assert "All mail is paused" in admin.open(one).says
    assert "An operator lets mail leave again." in admin.says
    assert "Let mail leave again: Operators" in operator.open(one).says
    for page in (one, "system"):
        assert "All mail is paused" in operator.open(page).says
        assert "rollcall mail resume" not in operator.text


def test_the_card_of_a_user_says_in_words_why_they_got_no_mail(console: Consoled) -> None:
    admin = console.visitor()
    one = made(admin)
    admin.open(f"{one}/launch").send(f"{one}/launch", ("when", "now"))
    console.world.comes_to_rest()
    left_out = console.world.rows(
        "SELECT l.id, d.reason FROM deliveries d JOIN learners l ON learner = recipient WHERE d.state = 'skipped'"
    )

    said = {"inactive": "left out inactive", "no address": "left out no e-mail address"}
    assert left_out
    for learner, reason in left_out:
        card = admin.open(f"organisations/acme/learners/{learner}")
        assert said[reason] in card.says
        assert f'href="/console/{one}"' in card.text


def key_of(visitor: Visitor) -> str:
    return str(re.findall(r'name="key" value="(\w+)"', visitor.text)[0])


def test_r16_more_than_were_shown_are_not_sent_to(console: Consoled) -> None:
    admin = console.visitor()
    one = made(admin)
    admin.open(f"{one}/launch")
    console.world.has_learners("dot")
    admin.send(f"{one}/launch", ("when", "now"))

    assert (admin.status, "3 learners would receive" in admin.says, "Send it to 3 users?" in admin.says) == (
        409,
        True,
        True,
    )
    admin.send(f"{one}/launch", ("when", "now"))
    assert "It is on its way to 3 users." in admin.says
    assert (admin.open(f"{one}/launch").status, admin.open(f"{one}/edit").status) == (409, 409)


def test_r18_r19_recipients_are_looked_through_the_failed_tried_again_and_the_uncertain_settled(
    console: Consoled,
) -> None:
    world, admin = console.world, console.visitor()
    world.has_learners("unsure", "unsure2")
    world.has_learners("cid", first_name=None, last_name=None)
    world.mail.on_recipient = lambda address, _times: "500 not now" if address.startswith("bob@") else None
    world.mail.hangs_up = lambda address: address.startswith("unsure")
    one = made(admin)
    admin.open(f"{one}/launch").send(f"{one}/launch", ("when", "now"))
    world.comes_to_rest()
    world.mail.reset()

    said = admin.open(f"{one}/recipients").says
    for part in (
        "Firstbob Lastbob",
        "user-cid cid@acme.example",
        "All 5",
        "Accepted 1",
        "Failed 1",
        "Uncertain 2",
        "Left out 1",
        "500 not now",
        "refused for good",
    ):
        assert part in said, part
    assert "1 recipient shown." in admin.open(f"{one}/recipients?state=failed&search=BOB").says
    assert "There is no such recipient." in admin.open(f"{one}/recipients?state=accepted&search=bob").says
    assert "1 recipient shown." in admin.open(f"{one}/recipients?state=skipped&reason=inactive").says

    assert "5 left out: 1 1 0 1 2" in admin.open(ALL).says, "selected, accepted, still to go, failed and uncertain"
    admin.open(one).send(f"{one}/retry")
    assert "1 mail is sent again." in admin.says
    world.comes_to_rest()
    assert world.mail.recipients == ["bob@acme.example"]

    settling, why = f"{one}/recipients?state=uncertain", frozenset({"why"})
    for fields, problem in (
        ([("outcome", "sent")], "Say how you know"),
        ([("why", "I rang"), ("all", "yes")], "Say whether it was sent"),
        ([("why", "I rang"), ("outcome", "sent")], "Nobody is ticked"),
    ):
        admin.open(settling).send(f"{one}/settle", *fields, leave=why)
        assert (admin.status, problem in admin.says) == (422, True), problem
    admin.open(settling).send(f"{one}/settle", ("learner", "unsure"), ("outcome", "sent"), ("why", "I rang"), leave=why)
    assert "1 counts as sent now." in admin.says
    world.comes_to_rest()
    admin.open(settling).send(
        f"{one}/settle", ("all", "yes"), ("outcome", "not-sent"), ("why", "It is in no log"), leave=why
    )
    assert "1 counts as failed now, and can be tried again." in admin.says
    world.comes_to_rest()
    said = admin.open(one).says
    for part in ("uncertain ones settled as not sent It is in no log", "3 accepted by", "Retry the 1 failed"):
        assert part in said, part


def test_recipients_and_announcements_have_pages_both_ways(console: Consoled) -> None:
    world, admin = console.world, console.visitor()
    world.has_learners(*(f"l{n:02}" for n in range(60)))
    one = made(admin)
    admin.open(f"{one}/launch").send(f"{one}/launch", ("when", "now"))
    world.comes_to_rest()
    admin.open(f"{one}/recipients?state=accepted")
    first = re.findall('data-key="(.*?)"', admin.text)
    admin.open(re.findall('rel="next" href="(.*?)"', admin.text)[0].replace("&amp;", "&"))
    second = re.findall('data-key="(.*?)"', admin.text)
    admin.open(re.findall('rel="prev" href="(.*?)"', admin.text)[0].replace("&amp;", "&"))

    assert (len(first), len(second), len({*first, *second})) == (50, 12, 62)
    assert re.findall('data-key="(.*?)"', admin.text) == first
    for n in range(51):
        world.announces(f"n{n}", send_at="2099-01-01T00:00:00Z")
    admin.open(ALL)
    assert len(re.findall('data-key="(.*?)"', admin.text)) == 50
    admin.open(re.findall('rel="next" href="(.*?)"', admin.text)[0].replace("&amp;", "&"))
    assert len(re.findall('data-key="(.*?)"', admin.text)) == 2


def test_a_copy_is_a_new_draft_that_says_the_same(console: Consoled) -> None:
    console.world.announces("asked/by ü", subject='Hi "all"', body="A < b\n\nText", send_at="2099-01-01T00:00:00Z")
    admin = console.visitor().open(f"organisations/acme/announcements/{quote('asked/by ü', safe='')}")
    link = re.findall(r'href="(/console/organisations/acme/drafts/new\?copy=[^"]+)"', admin.text)[0]
    admin.open(link)

    assert 'value="Hi &#34;all&#34;"' in admin.text
    assert "A &lt; b\n\nText</textarea>" in admin.text
    assert 'value="now" checked' in admin.text


def test_r34_a_reader_looks_and_changes_nothing(console: Consoled) -> None:
    one = made(console.visitor())
    reader = console.visitor(Role.READER).open(one)

    assert reader.status == 200
    assert f"{one}/" in reader.text
    posts = [
        form for form in re.findall(r'<form method="post"[^>]*action="([^"]+)"', reader.text) if "announce" in form
    ]
    assert posts == []
    assert "Hello Firstann." in reader.open(f"{one}/frame?view=text").text
    assert reader.open(f"{one}/edit").status == 403


def test_r31_what_is_another_organisations_is_in_no_page(console: Consoled) -> None:
    world, admin = console.world, console.visitor(Role.ADMIN, "acme")
    world.organisation = "zeta"
    world.has_organisation(name="Zeta")
    world.has_learners("zoe")
    world.announces("theirs", subject="Secret of Zeta")
    world.organisation = "acme"
    one = made(admin)

    assert "Secret" not in admin.open(ALL).text
    for path in ("theirs", "theirs/edit", "theirs/frame", "theirs/launch", "theirs/recipients"):
        assert admin.open(f"{ALL}/{path}").status == 404
        assert admin.open(f"organisations/zeta/announcements/{path}").status == 404
    assert (admin.open(f"{NEW}?copy=theirs").status, "Secret" in admin.text) == (404, False)
    assert "no learner" in admin.open(f"{one}/frame?reader=zoe").text
