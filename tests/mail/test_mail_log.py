"""What a mail server's log says of mails of ours, by Message-ID (R19)."""

from pathlib import Path

import pytest

from tasks.mail.ledger.message_ids import MessageIds, number_of
from tasks.mail.ledger.server_logs import read

IDS = MessageIds(["acme", "announcement", "", "news"], "rollcall.example")
TAKEN, OTHER = IDS.of("L1"), IDS.of("L2")

#: Logs as servers write them, each after what it is and what is known by it of the mail, whose Message-ID is <%ID%>.
LOGS = (Path(__file__).parent / "server_logs.txt").read_text(encoding="utf-8").removeprefix("== ").split("\n== ")


@pytest.mark.parametrize("log", LOGS, ids=[log.partition(":")[0] for log in LOGS])
def test_r19_a_log_says_whether_the_server_took_a_mail(log: str) -> None:
    title, _, text = log.partition("\n")
    lines = text.replace("%ID%", TAKEN.strip("<>")).splitlines(keepends=True)

    found = read(lines)

    known = {"taken": {IDS.number("L1"): True}, "mentioned": {IDS.number("L1"): False}, "nothing": {}}
    assert found.lines == len(lines)
    assert found.mails == known[title.rpartition(": ")[2]]


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
