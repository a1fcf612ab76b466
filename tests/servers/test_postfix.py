"""Postfix as senders meet it: what it takes lies in the mailboxes, each mail once, and what it refuses burns nobody."""

import pytest

from tests.servers.conftest import Through, agrees, stopped, untouched
from tests.servers.milter import ACCEPT, TEMPFAIL, Milter, filtering
from tests.servers.policy import Greylist, greylisting
from tests.servers.postfix import PASSWORD, USER, Postfix
from tests.servers.unpacked import free_port
from tests.world import World

SECONDS = 60

#: Mailboxes that are not there.
GONE = ("gone1", "gone2", "gone3", "gone4", "gone5", "gone6")


#: Encryption and signing in are asked for.
SUBMISSION = {
    "smtpd_tls_security_level": "encrypt",
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
}

#: What is done while the milter fails.
FILTERED = {"milter_default_action": "tempfail", "milter_connect_timeout": "2s"}


def announced(world: World, many: int, *others: str) -> None:
    """An announcement to so many learners, and to others by their names."""
    world.has_learners(*(f"L{n}" for n in range(many)), *others)
    world.announces()


def replies_to_failed(world: World) -> list[str]:
    return world.list("SELECT reply FROM deliveries WHERE state = 'failed'")


def addresses(ids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{id_}@acme.example" for id_ in ids)


def test_r18_everybody_whom_the_ledger_calls_accepted_has_the_mail_once(
    world: World, postfix: Postfix, through: Through
) -> None:
    through(postfix.url())
    announced(world, 40)

    world.comes_to_rest(SECONDS)

    postfix.delivers()
    assert agrees(world, postfix.mailboxes) == {"accepted": 40}


class TestSigningIn:
    def url(self, postfix: Postfix, user: str = f"{USER}:{PASSWORD}@", tls: str = "starttls") -> str:
        return f"smtp://{user}127.0.0.1:{postfix.port(**SUBMISSION)}?tls={tls}"

    @pytest.fixture(autouse=True)
    def _trusted(self, postfix: Postfix, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(postfix.certificate))

    def test_mail_goes_encrypted_and_signed_in_to_dovecot(
        self, world: World, postfix: Postfix, through: Through
    ) -> None:
        through(self.url(postfix))
        announced(world, 20)

        world.comes_to_rest(SECONDS)

        postfix.delivers()
        assert agrees(world, postfix.mailboxes) == {"accepted": 20}
        assert f"sasl_username={USER}" in postfix.log

    def test_r21_an_account_that_is_not_let_in_burns_nobody_and_is_said(
        self, world: World, postfix: Postfix, through: Through
    ) -> None:
        through(self.url(postfix, f"latecomer:{PASSWORD}@"))
        announced(world, 20)
        world.settle()

        assert untouched(world)
        ((where, about, code, said),) = stopped(world)
        assert (where, about, code) == ("everywhere", "our sign-in or encryption", 535)
        assert said.startswith("5.7.8 Error: authentication failed")
        postfix.lets_in(PASSWORD, "latecomer")
        world.comes_to_rest(SECONDS)
        postfix.delivers()
        assert agrees(world, postfix.mailboxes) == {"accepted": 20}
        assert stopped(world) == []

    @pytest.mark.parametrize(
        ("user", "tls", "code", "said"),
        [
            ("", "none", 530, "5.7.0 Must issue a STARTTLS command first"),
            ("", "starttls", 554, "5.7.1 …: Recipient address rejected: Access denied"),
        ],
    )
    def test_r21_what_is_missing_in_the_url_burns_nobody_and_is_said(
        self, world: World, postfix: Postfix, through: Through, user: str, tls: str, code: int, said: str
    ) -> None:
        through(self.url(postfix, user, tls))
        announced(world, 20)
        world.settle()

        assert untouched(world)
        ((_, _, seen, words),) = stopped(world)
        assert (seen, words.replace("<…>", "…")) == (code, said)
        through(self.url(postfix))
        world.comes_to_rest(SECONDS)
        postfix.delivers()
        assert agrees(world, postfix.mailboxes) == {"accepted": 20}


class TestRecipients:
    def test_r21_an_unknown_user_is_suppressed_and_nobody_else(
        self, world: World, postfix: Postfix, through: Through
    ) -> None:
        through(postfix.url())
        announced(world, 30, *GONE)

        world.comes_to_rest(SECONDS)

        postfix.delivers()
        assert agrees(world, postfix.mailboxes, suppressed=addresses(GONE)) == {"accepted": 30, "failed": len(GONE)}
        assert (
            set(world.list("SELECT reply FROM deliveries WHERE state = 'failed' AND reply NOT LIKE '5.1.1 %'")) == set()
        )

    def test_r21_a_relay_that_is_not_permitted_suppresses_nobody(
        self, world: World, postfix: Postfix, through: Through
    ) -> None:
        through(postfix.url())
        world.has_learners(*(f"L{n}" for n in range(20)))
        world.send(
            *(world.event("learner.saved", world.learner(f"F{n}", email=f"f{n}@far.example")) for n in range(20))
        )
        world.announces()
        world.settle()

        postfix.delivers()
        found = agrees(world, postfix.mailboxes)
        assert found["accepted"] == 20
        assert found["failed"] == 0
        ((where, about, code, _),) = stopped(world)
        assert (where, about, code) == ("far.example", "our sign-in or encryption", 554)

    @pytest.mark.parametrize(
        "options",
        [
            {"smtpd_helo_restrictions": "reject"},
            {"smtpd_sender_restrictions": "reject", "smtpd_delay_reject": "no"},
            {"smtpd_client_restrictions": "reject", "smtpd_delay_reject": "no"},
            {"smtpd_recipient_restrictions": "reject"},
        ],
        ids=lambda options: "-".join(f"{name[6:]}-{value}" for name, value in options.items()),
    )
    def test_r21_a_restriction_on_us_burns_nobody_and_is_said(
        self, world: World, postfix: Postfix, through: Through, options: dict[str, str]
    ) -> None:
        through(postfix.url(**options))
        announced(world, 20)
        world.settle()

        assert untouched(world)
        assert [about for _, about, _, _ in stopped(world)] != []
        through(postfix.url())
        world.comes_to_rest(SECONDS)
        postfix.delivers()
        assert agrees(world, postfix.mailboxes) == {"accepted": 20}


class TestLimits:
    """What anvil counts, and what it asks for: patience."""

    def test_r21_a_limit_on_connections_fails_nobody(self, world: World, postfix: Postfix, through: Through) -> None:
        through(postfix.url(smtpd_client_connection_count_limit=1))
        announced(world, 60)

        world.comes_to_rest(SECONDS)

        postfix.delivers()
        assert agrees(world, postfix.mailboxes) == {"accepted": 60}

    def test_r21_a_limit_on_new_connections_fails_nobody(
        self, world: World, postfix: Postfix, through: Through
    ) -> None:
        through(postfix.url(smtpd_client_connection_rate_limit=2, smtpd_client_auth_rate_limit=0))
        announced(world, 40)

        world.comes_to_rest(SECONDS)

        postfix.delivers()
        assert agrees(world, postfix.mailboxes) == {"accepted": 40}

    @pytest.mark.slow
    def test_r21_a_limit_on_messages_fails_nobody(self, world: World, postfix: Postfix, through: Through) -> None:
        through(postfix.url(smtpd_client_message_rate_limit=20))
        announced(world, 50)

        world.comes_to_rest(SECONDS)

        postfix.delivers()
        assert agrees(world, postfix.mailboxes) == {"accepted": 50}
        assert "Message delivery request rate limit exceeded" in postfix.log

    def test_r21_a_limit_on_errors_fails_nobody_who_has_a_mailbox(
        self, world: World, postfix: Postfix, through: Through
    ) -> None:
        through(postfix.url(smtpd_soft_error_limit=1, smtpd_hard_error_limit=2, smtpd_junk_command_limit=1))
        announced(world, 30, *GONE)

        world.comes_to_rest(SECONDS)

        postfix.delivers()
        assert agrees(world, postfix.mailboxes, suppressed=addresses(GONE)) == {"accepted": 30, "failed": len(GONE)}
        assert "too many errors" in postfix.log

    def test_r19_a_server_that_hangs_up_on_idle_connections_gets_each_mail_once(
        self, world: World, postfix: Postfix, through: Through
    ) -> None:
        through(postfix.url(smtpd_timeout="1s"))
        announced(world, 8)
        world.comes_to_rest(SECONDS)
        before = postfix.log.count("timeout after")
        postfix.waits_for(lambda: postfix.log.count("timeout after") > before, "Postfix to hang up")

        world.announces("more")
        world.comes_to_rest(SECONDS)

        postfix.delivers()
        assert agrees(world, postfix.mailboxes) == {"accepted": 16}


class TestGreylisting:
    @pytest.mark.parametrize("percent", [10, 100])
    def test_r21_whoever_is_put_off_gets_the_mail_once_and_soon(
        self, world: World, postfix: Postfix, through: Through, percent: int
    ) -> None:
        with greylisting(Greylist(percent, seconds=1.0)) as greylist:
            through(postfix.url(smtpd_recipient_restrictions=f"check_policy_service inet:127.0.0.1:{greylist.port}"))
            announced(world, 60)

            world.comes_to_rest(SECONDS)

        postfix.delivers()
        assert agrees(world, postfix.mailboxes) == {"accepted": 60}
        assert greylist.answers > 0
        assert world.list("SELECT DISTINCT attempts FROM deliveries") == [1], "being put off uses up no attempt"


class TestMilter:
    def test_r21_a_milter_that_fails_for_a_while_fails_nobody(
        self, world: World, postfix: Postfix, through: Through
    ) -> None:
        milter = Milter(lambda: TEMPFAIL if milter.asked <= 4 else ACCEPT)
        with filtering(milter):
            through(postfix.url(smtpd_milters=f"inet:127.0.0.1:{milter.port}", **FILTERED))
            announced(world, 20)

            world.comes_to_rest(SECONDS)

        postfix.delivers()
        assert agrees(world, postfix.mailboxes) == {"accepted": 20}
        assert milter.asked >= 24
        assert world.list("SELECT DISTINCT attempts FROM deliveries") == [1]

    def test_r21_a_milter_that_is_not_there_fails_nobody(
        self, world: World, postfix: Postfix, through: Through
    ) -> None:
        port = free_port()
        through(postfix.url(smtpd_milters=f"inet:127.0.0.1:{port}", **FILTERED))
        announced(world, 20)
        world.settle()
        assert untouched(world)

        with filtering(Milter(), port):
            world.comes_to_rest(SECONDS)

        postfix.delivers()
        assert agrees(world, postfix.mailboxes) == {"accepted": 20}


class TestOffers:
    """A server that offers less."""

    def test_mail_goes_to_a_server_that_offers_nothing(self, world: World, postfix: Postfix, through: Through) -> None:
        missing = "pipelining, 8bitmime, smtputf8, chunking, size, enhancedstatuscodes, dsn, vrfy, etrn"
        through(postfix.url(smtpd_discard_ehlo_keywords=missing))
        world.has_learners("Łucja", *(f"L{n}" for n in range(20)))
        world.announces(subject="Überraschung für {{ first_name }}", body="Grüße, {{ first_name }} 👋. " + "ä" * 2000)

        world.comes_to_rest(SECONDS)

        postfix.delivers()
        assert agrees(world, postfix.mailboxes) == {"accepted": 20, "failed": 1}
        for message in postfix.mailboxes.messages():
            assert "Grüße" in message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
            assert str(message["Subject"]).startswith("Überraschung für First")

    def test_an_address_beyond_ascii_is_served_where_it_can_be(
        self, world: World, postfix: Postfix, through: Through
    ) -> None:
        through(postfix.url())
        world.has_learners("Łucja", "L1")
        world.announces()

        world.comes_to_rest(SECONDS)

        postfix.delivers()
        assert agrees(world, postfix.mailboxes) == {"accepted": 2}

    @pytest.mark.parametrize("silent", [{}, {"smtpd_discard_ehlo_keywords": "size"}], ids=["said", "not said"])
    def test_a_message_that_is_too_large_fails_and_suppresses_nobody(
        self, world: World, postfix: Postfix, through: Through, silent: dict[str, str]
    ) -> None:
        through(postfix.url(message_size_limit=2000, **silent))
        announced(world, 5)

        world.comes_to_rest(SECONDS)

        postfix.delivers()
        assert agrees(world, postfix.mailboxes) == {"failed": 5}
        (reply,) = set(world.list("SELECT reply FROM deliveries"))
        assert ("the server takes 2000" if silent == {} else "5.3.4 Error: message file too big") in reply
