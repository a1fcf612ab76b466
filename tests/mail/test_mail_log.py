"""What a mail server's log says of mails of ours, by Message-ID (R19)."""

import pytest

from tasks.mail.logs import read
from tasks.mail.message import MessageIds, number_of

IDS = MessageIds(["acme", "announcement", "", "news"], "rollcall.example")
TAKEN, OTHER = IDS.of("L1"), IDS.of("L2")

#: Lines as servers write them, and what is known by them of the mail: taken, only mentioned, or nothing.
LOGS = {
    "postfix sent": (
        "Nov 26 03:00:01 mx postfix/smtpd[811]: 4bQk2L1c2Xz9sQ: client=app.example.org[192.0.2.7]\n"
        "Nov 26 03:00:01 mx postfix/cleanup[814]: 4bQk2L1c2Xz9sQ: message-id={id}\n"
        "Nov 26 03:00:01 mx postfix/qmgr[700]: 4bQk2L1c2Xz9sQ: from=<bounces@rollcall.example>, size=4321, nrcpt=1"
        " (queue active)\n"
        "Nov 26 03:00:02 mx postfix/smtp[815]: 4bQk2L1c2Xz9sQ: to=<l1@acme.example>, relay=mx.acme.example[192.0.2.9]:25,"
        " delay=0.9, delays=0.1/0/0.3/0.5, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 9A1B2C)\n"
        "Nov 26 03:00:02 mx postfix/qmgr[700]: 4bQk2L1c2Xz9sQ: removed",
        True,
    ),
    "postfix with short queue ids and ISO times": (
        "2026-11-26T03:00:01.120045+00:00 mx postfix/cleanup[814]: 9A1B2C3D4E: message-id={id}\n"
        "2026-11-26T03:00:02.000001+00:00 mx postfix/lmtp[815]: 9A1B2C3D4E: to=<l1@acme.example>, relay=local,"
        " delay=1, dsn=2.0.0, status=sent (250 2.0.0 Saved)",
        True,
    ),
    "postfix took it and waits": (
        "Nov 26 03:00:01 mx postfix/submission/cleanup[814]: 9A1B2C3D4E: message-id={id}\n"
        "Nov 26 03:00:02 mx postfix/smtp[815]: 9A1B2C3D4E: to=<l1@acme.example>, relay=none, delay=30, dsn=4.4.1,"
        " status=deferred (connect to mx.acme.example[192.0.2.9]:25: Connection timed out)",
        True,
    ),
    "postfix took it and could not deliver it": (
        "Nov 26 03:00:01 mx postfix/cleanup[814]: 9A1B2C3D4E: message-id={id}\n"
        "Nov 26 03:00:02 mx postfix/smtp[815]: 9A1B2C3D4E: to=<l1@acme.example>, dsn=5.1.1, status=bounced (host mx said:"
        " 550 5.1.1 no such user)",
        True,
    ),
    "postfix was cut off": ("Nov 26 03:00:01 mx postfix/cleanup[814]: 9A1B2C3D4E: message-id={id}", False),
    "postfix refused it by a milter": (
        "Nov 26 03:00:01 mx postfix/cleanup[814]: 9A1B2C3D4E: message-id={id}\n"
        "Nov 26 03:00:01 mx postfix/cleanup[814]: 9A1B2C3D4E: milter-reject: END-OF-MESSAGE from app[192.0.2.7]: 5.7.1"
        " Command rejected; from=<bounces@rollcall.example> to=<l1@acme.example> proto=ESMTP helo=<app>",
        None,
    ),
    "exim": (
        "2026-11-26 03:00:01 1tFabc-00000001Xyz-2Ab3 <= bounces@rollcall.example H=app [192.0.2.7] P=esmtps"
        " X=TLS1.3:TLS_AES_256_GCM_SHA384:256 S=4321 id={bare}\n"
        '2026-11-26 03:00:02 1tFabc-00000001Xyz-2Ab3 => l1@acme.example R=dnslookup T=remote_smtp C="250 OK"\n'
        "2026-11-26 03:00:02 1tFabc-00000001Xyz-2Ab3 Completed",
        True,
    ),
    "exim 4.96 and older, with a pid": (
        "2026-11-26 03:00:01 [4711] 1tFabc-0001Xy-2A <= bounces@rollcall.example U=rollcall P=esmtp S=4321 id={bare}"
        " for l1@acme.example",
        True,
    ),
    "exim refused it": (
        "2026-11-26 03:00:01 1tFabc-0001Xy-2A H=app [192.0.2.7] F=<bounces@rollcall.example> rejected after DATA: spam"
        " (Message-ID {id})",
        None,
    ),
    "sendmail": (
        "Nov 26 03:00:01 mx sendmail[12]: 4AQ301aB000012: from=<bounces@rollcall.example>, size=4321, class=0, nrcpts=1,"
        " msgid={id}, proto=ESMTP, relay=app [192.0.2.7]\n"
        "Nov 26 03:00:02 mx sm-mta[13]: 4AQ301aB000012: to=<l1@acme.example>, delay=00:00:01, mailer=esmtp, dsn=2.0.0,"
        " stat=Sent (Ok: queued as 9A1B2C)",
        True,
    ),
    "JSON of a provider": (
        '{{"eventType":"Delivery","mail":{{"headers":[{{"name":"Message-ID","value":"{id}"}}],"event": "delivered"}}}}',
        True,
    ),
    "Exchange's tracking": (
        "2026-11-26T03:00:01.120Z,192.0.2.7,app,192.0.2.8,ex01,08DD;250 2.0.0 OK,SMTP,RECEIVE,4711,{id},l1@acme.example",
        True,
    ),
    "of any other form": ("03:00:01 seen {id} from app", False),
    "an envelope sender that looks alike": ("status=sent from=<bounces+x{bare}>", None),
}  # fmt: skip


@pytest.mark.parametrize("name", LOGS)
def test_r19_a_log_says_whether_the_server_took_a_mail(name: str) -> None:
    text, taken = LOGS[name]

    found = read(text.format(id=TAKEN, bare=TAKEN.strip("<>")).splitlines(keepends=True))

    assert found.lines == text.count("\n") + 1
    assert found.mails == ({} if taken is None else {IDS.number("L1"): taken})


def test_r19_a_queue_id_that_is_used_again_is_another_mails() -> None:
    text = (
        f"Nov 26 03:00:01 mx postfix/cleanup[814]: 9A1B2C3D4E: message-id={TAKEN}\n"
        "Nov 26 04:00:01 mx postfix/cleanup[814]: 9A1B2C3D4E: message-id=<somebody@else.example>\n"
        "Nov 26 04:00:02 mx postfix/smtp[815]: 9A1B2C3D4E: to=<x@else.example>, dsn=2.0.0, status=sent (250 ok)\n"
        f"Nov 26 05:00:01 mx postfix/cleanup[814]: 9A1B2C3D4E: message-id={OTHER}\n"
        "Nov 26 05:00:02 mx postfix/smtp[815]: 9A1B2C3D4E: to=<l2@acme.example>, dsn=2.0.0, status=sent (250 ok)"
    )
    assert read(text.splitlines()).mails == {IDS.number("L1"): False, IDS.number("L2"): True}


def test_r19_the_number_of_a_message_id_is_that_of_its_digits() -> None:
    assert number_of(TAKEN.strip("<>")) == IDS.number("L1") != IDS.number("L2")
