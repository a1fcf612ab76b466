"""A wrong or missing setting stops the start with one line that names it; no secret is in it, none travels openly."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from config.services import without_password
from config.settings import ConfigurationError, Settings, SmtpServer, keys_in, load_settings, sender_address

#: The password in every URL below; it must never be shown.
SECRET = "hunter2secret"

#: A key that mail can be signed with.
ED25519 = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    load_settings.cache_clear()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", f"mysql://u:{SECRET}@db/x"),
        ("DATABASE_URL", f"postgresql://u:{SECRET}@db.example.org/x?sslmode=require"),
        ("DATABASE_URL", f"postgresql://u:{SECRET}@db.example.org/x?sslmode=disable"),
        ("REDIS_URL", f"redis://:{SECRET}@redis.example.org:6379/0"),
        ("REDIS_URL", f"rediss://:{SECRET}@redis.example.org:6379/0?ssl_cert_reqs=none"),
        ("SMTP_URL", f"smtp://u:{SECRET}@mail.example.org?tls=none"),
        ("SMTP_URL", f"smtp://u:{SECRET}@mail.example.org?tls=maybe"),
        ("SMTP_URL", "smtp://"),
        ("MAIL_FROM", "nobody"),
        ("MAIL_FROM", "Acme <a b@example.org>"),
        ("MAIL_FROM", "Acme <a@exa mple.org>"),
        ("PUBLIC_URL", "rollcall.example.org"),
        ("PUBLIC_URL", "ftp://rollcall.example.org"),
        ("PUBLIC_URL", "https://"),
        ("PUBLIC_URL", "https://rollcall.example.org:port"),
        ("PUBLIC_URL", "https://rollcall.example.org/?a=b"),
        ("PUBLIC_URL", "https://rollcall.example.org/<a>"),
        ("PUBLIC_URL", f"https://u:{SECRET}@rollcall.example.org"),
        ("SECRET_KEY", " , "),
        ("ROLLCALL_EVENTS_KEY", " , "),
        ("ROLLCALL_EVENTS_KEY", f"new,whsec_{SECRET}!"),
        ("ROLLCALL_EVENTS_KEY", "whsec_"),
        ("ROLLCALL_EVENTS_KEY", f"whsec_{'A' * 44},acme=whsec_{SECRET}!"),
        ("ROLLCALL_EVENTS_KEY", ",".join(f"acme=whsec_{n:044}" for n in range(101))),
        ("ROLLCALL_WEB_PROXIES", "10.0.0.7, proxy.example.org"),
        ("ROLLCALL_WEB_PROXIES", "10.0.0.7/24"),
        ("DKIM_KEY", SECRET),
        ("DKIM_KEY", f"-----BEGIN PRIVATE KEY-----{SECRET}"),
        ("DKIM_SELECTOR", "mail 2026"),
        ("DKIM_DOMAIN", "-.example.org"),
        ("BOUNCE_ADDRESS", "nobody"),
        ("BOUNCE_ADDRESS", "sixteen-letters-@bounces.example.org"),
        ("ROLLCALL_BOUNCES_PROTOCOL", "http"),
        ("ROLLCALL_CHUNK", "0"),
        ("ROLLCALL_LEASE_SECONDS", "soon"),
        ("ROLLCALL_LOG", "loud"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError) as refusal:
        load_settings()

    line = str(refusal.value)
    assert line.startswith(f"{name}: ")
    assert "\n" not in line
    assert SECRET not in line


@pytest.mark.parametrize("missing", ["MAIL_FROM", "PUBLIC_URL", "SECRET_KEY"])
def test_a_mail_server_needs_a_sender_a_base_of_links_and_a_key(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    named = {"MAIL_FROM": "a@example.org", "PUBLIC_URL": "https://example.org", "SECRET_KEY": SECRET}
    monkeypatch.setenv("SMTP_URL", "smtp://127.0.0.1:25?tls=none")
    for name, value in named.items():
        if name != missing:
            monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=f"{missing} must be set when SMTP_URL is set"):
        load_settings()


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"MAIL_FROM": "a@example.org"}, "DKIM_SELECTOR must be set when DKIM_KEY is set"),
        ({"DKIM_SELECTOR": "s1"}, "MAIL_FROM must be set when DKIM_KEY is set"),
        ({"MAIL_FROM": "a@example.org", "DKIM_SELECTOR": "s1", "DKIM_DOMAIN": "mail.example.org"}, "DKIM_DOMAIN must"),
        ({"MAIL_FROM": "a@myexample.org", "DKIM_SELECTOR": "s1", "DKIM_DOMAIN": "example.org"}, "DKIM_DOMAIN must"),
    ],
)
def test_a_signature_needs_a_name_and_a_domain_that_the_senders_is_of(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], says: str
) -> None:
    for name, value in {"DKIM_KEY": ED25519, **env}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=says):
        load_settings()


@pytest.mark.parametrize("form", ["PEM", "PEM on one line", "file"])
def test_the_key_that_signs_mail_is_given_as_it_is_or_by_its_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str
) -> None:
    file = tmp_path / "dkim.pem"
    file.write_text(ED25519)
    given = {"PEM": ED25519, "PEM on one line": ED25519.replace("\n", "\\n"), "file": str(file)}
    env = {
        "DKIM_KEY": given[form],
        "MAIL_FROM": "a@Mail.Example.org",
        "DKIM_SELECTOR": "s1",
        "DKIM_DOMAIN": "example.org",
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    settings = load_settings()

    assert settings.dkim_key is not None
    assert settings.dkim_key.get_secret_value() == ED25519
    assert settings.signing_domain == "example.org"
    assert ED25519.splitlines()[1] not in repr(settings)


def test_the_base_of_links_needs_no_slash_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://rollcall.example.org/lms/")

    assert load_settings().public_url == "https://rollcall.example.org/lms"


def test_several_keys_stand_between_commas() -> None:
    assert keys_in("new+/=, old one,") == ["new+/=", "old one"]


def test_a_database_elsewhere_is_verified_unless_its_url_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:{SECRET}@db.example.org/x")

    url = load_settings().database_url

    assert url is not None
    assert url.get_secret_value().endswith("/x?sslmode=verify-full&sslrootcert=system")


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{SECRET}@127.0.0.1/x",
        f"postgresql://u:{SECRET}@/x?host=/run/postgresql",
        f"postgresql://u:{SECRET}@[::1]:5433/x",
        "postgresql://u@db.internal/x?sslmode=disable",
    ],
)
def test_a_database_on_this_machine_or_without_a_password_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)

    found = load_settings().database_url

    assert found is not None
    assert found.get_secret_value() == url


def test_settings_do_not_show_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:{SECRET}@localhost/x")
    monkeypatch.setenv("SECRET_KEY", SECRET)

    assert SECRET not in repr(load_settings())
    assert SECRET not in without_password(f"postgresql://u:{SECRET}@localhost:5432/x?password={SECRET}")


@pytest.mark.parametrize(
    "url",
    ["unix:///srv/valkey.sock", "redis://u@r.example.org:6379/0", "postgresql://postgres@/rollcall?host=/srv&port=1"],
)
def test_a_url_without_a_password_is_shown_as_it_is(url: str) -> None:
    assert without_password(url) == url
    assert without_password("unix:///srv/valkey.sock?password=x") == "unix:///srv/valkey.sock?password=***"


@pytest.mark.parametrize(
    ("mail_from", "address"),
    [
        ("l@acme.org", "l@acme.org"),
        ("Acme, Inc. <l@acme.org>", "l@acme.org"),
        ("Schüle <l@schüle.de>", "l@xn--schle-mva.de"),
    ],
)
def test_the_senders_address_is_found_in_its_name(mail_from: str, address: str) -> None:
    assert sender_address(mail_from) == address


def test_a_mail_server_url_is_read() -> None:
    server = SmtpServer.parse("smtp://user:pa%40ss@mail.example.org")

    assert (server.host, server.port, server.tls, server.user, server.password) == (
        "mail.example.org",
        587,
        "starttls",
        "user",
        "pa@ss",
    )


def test_a_process_may_open_all_the_files_that_the_system_lets_it() -> None:
    asked = "from config.files import raise_limit; print(raise_limit(), raise_limit())"
    limited = ["sh", "-c", 'ulimit -S -n 100 && ulimit -H -n 300 && exec "$0" -c "$1"', sys.executable, asked]

    assert subprocess.run(limited, capture_output=True, text=True, check=True).stdout.split() == ["300", "300"]
