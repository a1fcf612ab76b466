"""A wrong or missing setting stops the start with one line that names it; no secret is in it, none travels openly."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import text

import migrations
from config.addresses import sender_address
from config.cells import read_cells
from config.embedded import Embedded
from config.engine import make_engine
from config.errors import ConfigurationError
from config.keys import keys_in
from config.services import endpoints, without_password
from config.settings import Settings, SmtpServer, load_settings
from config.urls import verified_postgresql
from tests.databases import database_named

#: The password in every URL below; it must never be shown.
SECRET = "hunter2secret"

#: A key that mail can be signed with.
ED25519 = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def cell_with_redis(url: str) -> str:
    return json.dumps({"north": {"database": "postgresql://localhost/rollcall", "redis": url}})


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
        ("DATABASE_POOLER_URL", f"postgresql://u:{SECRET}@pooler.example.org:6432/x?sslmode=require"),
        ("DATABASE_POOLER_URL", f"postgresql://u:{SECRET}@localhost/x?options=-csearch_path%3Drc"),
        ("REDIS_URL", f"redis://:{SECRET}@redis.example.org:6379/0"),
        ("REDIS_URL", f"rediss://:{SECRET}@redis.example.org:6379/0?ssl_cert_reqs=none"),
        ("SMTP_URL", f"smtp://u:{SECRET}@mail.example.org?tls=none"),
        ("SMTP_URL", f"smtp://u:{SECRET}@mail.example.org?tls=maybe"),
        ("SMTP_URL", "smtp://"),
        ("DATABASE_URL", f"postgresql://u:{SECRET}@localhost/x?hostaddr=192.0.2.1"),
        ("DATABASE_URL", f"postgresql://u:{SECRET}@127.0.0.1,db.example.org/x?sslmode=prefer"),
        ("DATABASE_URL", f"postgresql://u:x@db.example.org/x?sslmode={SECRET}"),
        ("DATABASE_URL", f"postgresql://u:x@db.example.org/x?sslmode=verify-full&sslmode={SECRET}"),
        ("DATABASE_URL", f"postgresql://u:x@db.example.org/x?{SECRET}=1"),
        ("DATABASE_URL", f"postgresql://u:{SECRET}/x@localhost/x"),
        ("DATABASE_URL", f"postgresql://u@localhost:70000/{SECRET}"),
        ("DATABASE_URL", f"postgresql://u:%zz{SECRET}@localhost/x"),
        ("DATABASE_URL", f"postgresql://u:{SECRET}@/x?host=a,b&host=c"),
        ("DATABASE_URL", f"postgresql:///x?service={SECRET}"),
        ("REDIS_URL", f"redis://redis.example.org:6379/0?password={SECRET}"),
        ("REDIS_URL", f"redis:///0?host=redis.example.org&password={SECRET}"),
        ("REDIS_URL", f"rediss://:{SECRET}@redis.example.org/0?ssl_check_hostname=false"),
        ("REDIS_URL", f"rediss://:{SECRET}@redis.example.org/0?ssl_cert_reqs=required&ssl_cert_reqs=none"),
        ("REDIS_URL", f"rediss://:{SECRET}@redis.example.org/0?ssl_cert_reqs="),
        ("REDIS_URL", f"redis://localhost/0?ssl_ca_certs={SECRET}"),
        ("REDIS_URL", f"redis://localhost/0?{SECRET}=1"),
        ("REDIS_URL", f"redis://localhost/{SECRET}"),
        ("REDIS_URL", f"redis://localhost/0?db={SECRET}"),
        ("REDIS_URL", f"redis://localhost/0?socket_timeout={SECRET}"),
        ("REDIS_URL", f"redis://:a#{SECRET}@localhost/0"),
        ("REDIS_URL", f"redis://:{SECRET}@localhost/0?socket_timeout=1.5"),
        ("REDIS_URL", f"redis://:{SECRET}@[::1/0"),
        ("REDIS_URL", f"redis://:{SECRET} @localhost/0"),
        ("REDIS_URL", "unix://"),
        ("REDIS_URL", f"redis+sentinel://:{SECRET}@s1.example.org:26379/learning/0"),
        ("REDIS_URL", f"redis+sentinel://s1.example.org/learning/0?sentinel_password={SECRET}"),
        ("REDIS_URL", f"redis+sentinel://localhost/learning/0?{SECRET}=1"),
        ("REDIS_URL", f"redis+sentinel://localhost/learning/{SECRET}"),
        ("REDIS_URL", f"redis+sentinel://localhost:0/learning?password={SECRET}"),
        ("REDIS_URL", f"redis+sentinel://:{SECRET}@localhost,/learning"),
        ("REDIS_URL", f"redis+sentinel://:{SECRET}@localhost"),
        ("REDIS_URL", f"rediss+sentinel://:{SECRET}@s1.example.org/learning?ssl_cert_reqs=none"),
        ("REDIS_URL", f"redis+sentinel://localhost/learning?sentinel_password=a&sentinel_password={SECRET}"),
        ("SMTP_URL", f"smtp://u:{SECRET}@mail.example.org?tls=starttls&tls=none"),
        ("SMTP_URL", f"smtp://u:{SECRET}@mail.example.org?tls="),
        ("SMTP_URL", f"smtp://u:{SECRET}@mail.example.org?ssl=1"),
        ("SMTP_URL", f"smtps://u:{SECRET}@mail.example.org?tls=none"),
        ("SMTP_URL", f"smtp://:{SECRET}@mail.example.org"),
        ("SMTP_URL", f"smtp://u:a#{SECRET}@mail.example.org"),
        ("SMTP_URL", f"smtp://mail.example.org/{SECRET}"),
        ("SMTP_URL", "smtp://mail.example.org:0"),
        ("MAIL_FROM", "Acme\nBcc: x <a@example.org>"),
        ("MAIL_FROM", "a..b@example.org"),
        ("MAIL_FROM", "a@example..org"),
        ("MAIL_FROM", "a@-example.org"),
        ("BOUNCE_ADDRESS", "b.@example.org"),
        ("PUBLIC_URL", "https://example.org?"),
        ("PUBLIC_URL", "https://example.org:0"),
        ("SECRET_KEY", "a"),
        ("SECRET_KEY", f"{SECRET},short"),
        ("ROLLCALL_EVENTS_KEY", "whsec_AA"),
        ("ROLLCALL_EVENTS_KEY", "a"),
        ("ROLLCALL_EMBEDDED", "database,cache"),
        ("ROLLCALL_LEASE_SECONDS", "inf"),
        ("ROLLCALL_RETRY_SECONDS", "nan"),
        ("ROLLCALL_WAITING_SECONDS", "1e300"),
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
        ("ROLLCALL_WEB_PROXIES", f"10.0.0.7,{SECRET}"),
        ("ROLLCALL_EVENTS_KEY", f"=whsec_{'A' * 44}"),
        ("ROLLCALL_EVENTS_KEY", f"==whsec_{'A' * 44}"),
        ("ROLLCALL_EVENTS_KEY", f"acme=whsec_{'A' * 44}, = whsec_{SECRET}"),
        ("DATABASE_URL", f"postgresql://u@localhost/x?connect_timeout={SECRET}"),
        ("DATABASE_URL", f"postgresql://u@localhost/x?sslmode={SECRET}"),
        ("DATABASE_URL", f"postgresql://u@db.example.org/x?keepalives_idle={SECRET}"),
        ("DATABASE_URL", f"postgresql://u@localhost/x?target_session_attrs={SECRET}"),
        ("SMTP_URL", f"smtp://mail.example.org?{SECRET}=1"),
        ("SMTP_URL", "smtps://mail.example.org?tls=none"),
        ("DKIM_KEY", SECRET),
        ("DKIM_KEY", f"-----BEGIN PRIVATE KEY-----{SECRET}"),
        ("DKIM_SELECTOR", "mail 2026"),
        ("DKIM_DOMAIN", "-.example.org"),
        ("BOUNCE_ADDRESS", "nobody"),
        ("BOUNCE_ADDRESS", "sixteen-letters-@bounces.example.org"),
        ("ROLLCALL_CELLS", cell_with_redis(f"redis://:{SECRET}@north.example.org/0")),
        ("ROLLCALL_CELLS", cell_with_redis(f"rediss://:{SECRET}@north.example.org/0?ssl_cert_reqs=none")),
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
    assert line.count(name) == 1
    assert "\n" not in line
    assert SECRET not in line


def test_the_redis_of_a_cell_may_be_under_sentinels() -> None:
    url = f"rediss+sentinel://:{SECRET}@s1.example.org,s2.example.org:26380/learning/0"

    assert read_cells(cell_with_redis(url))["north"].redis_url == url


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("postgresql://u@localhost/x?options=-csearch_path%3Drc", None),
        ("postgresql://u@localhost/x\n", "postgresql://u@localhost/x"),
        ("postgresql://u@127.0.0.1:1,127.0.0.1:2/x?target_session_attrs=read-write", None),
        ("postgresql://u:p#?@localhost/x", None),
        ("postgresql://u@/x?host=127.0.0.1:1&host=localhost:2", "postgresql://u@/x?host=127.0.0.1,localhost&port=1,2"),
        ("postgresql://u@/x?host=127.0.0.1&host=[::1]:2", "postgresql://u@/x?host=127.0.0.1,::1&port=5432,2"),
        (
            "postgresql://u:p@a.example,b.example/x?connect_timeout=3",
            "postgresql://u:p@a.example,b.example/x?connect_timeout=3&sslmode=verify-full&sslrootcert=system",
        ),
        ("postgresql://u:p@a.example/x?sslmode=verify-ca&sslrootcert=ca.pem", None),
    ],
)
def test_a_database_url_means_what_it_means_to_libpq(
    monkeypatch: pytest.MonkeyPatch, url: str, read: str | None
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)

    found = load_settings().database_url

    assert found is not None
    assert found.get_secret_value() == (read or url)


def test_options_and_several_hosts_of_a_database_url_reach_the_server(database_url: str) -> None:
    place = parse_qs(urlsplit(database_url).query)["host"][0]
    two = database_url.replace(f"host={place}", f"host=/nowhere,{place}&options=-csearch_path%3Dpg_catalog")
    engine = make_engine(verified_postgresql(two + "\n"), role="test")
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW search_path")) == "pg_catalog"
        assert connection.scalar(text("SHOW timezone")) == "UTC"
    engine.dispose()


def test_tables_in_another_schema_are_found_without_its_name(servers: Embedded, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as session:
        session.execute('ALTER SCHEMA public RENAME TO "The App\'s"')
        session.execute("CREATE SCHEMA public")
        session.execute("CREATE TABLE public.alembic_version (version_num text)")  # of another program
    engine = make_engine(database_url, role="test")
    assert migrations.bring_up_to_date(engine)[0] == migrations.head(), "no second set of tables is made"
    engine.dispose()

    engine = make_engine(f"{database_url}&options=-csearch_path%3Dpublic", role="test")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT current_schema()")) == "public", "it was said"
    engine.dispose()

    with psycopg.connect(database_url, autocommit=True) as session:
        session.execute("CREATE SCHEMA another")
        for name in ("alembic_version", "enrolments", "deliveries", "consumptions"):
            session.execute(f"CREATE TABLE another.{name} ()")
    engine = make_engine(database_url, role="test")
    with pytest.raises(ConfigurationError, match="schemas The App's and another: say which"):
        engine.connect()
    engine.dispose()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_in_another_encoding_is_refused_in_one_line(
    servers: Embedded, database_url: str, encoding: str
) -> None:
    name = f"odd_{encoding}_{os.getpid()}".lower()
    make = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C'"
    with psycopg.connect(database_url, autocommit=True) as session:
        session.execute(make)
    engine = make_engine(database_named(servers, name), role="test")
    with pytest.raises(ConfigurationError, match=f"^DATABASE_URL: the database is in {encoding}"):
        migrations.bring_up_to_date(engine)
    engine.dispose()
    with psycopg.connect(database_url, autocommit=True) as session:
        session.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_an_unknown_setting_is_refused_with_the_one_that_is_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLCALL_CHUNKS", "5")

    with pytest.raises(
        ConfigurationError, match=r"ROLLCALL_CHUNKS is no setting of Rollcall: is ROLLCALL_CHUNK meant\?"
    ):
        load_settings()


def test_what_kubernetes_says_of_a_service_called_rollcall_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR",
                 "PAGES_SERVICE_HOST", "PAGES_PORT_80_TCP_PROTO"):  # fmt: skip
        monkeypatch.setenv(f"ROLLCALL_{name}", "10.0.0.1")
    monkeypatch.setenv("ROLLCALL_EMPTY", "")

    assert load_settings().rollcall_chunk == 5000


DATABASE, REDIS = ("DATABASE_URL", "postgresql://u@127.0.0.1:1/x"), ("REDIS_URL", "redis://127.0.0.1:1/0")
SMTP = {"SMTP_URL": "smtp://mail.example.org", "MAIL_FROM": "a@b", "PUBLIC_URL": "https://b", "SECRET_KEY": SECRET}
CATCHER = {**SMTP, "SMTP_URL": "smtp://127.0.0.1:1?tls=none"}


@pytest.mark.parametrize(
    ("env", "says"),
    [
        (dict([DATABASE, REDIS]), "SMTP_URL must be set, since DATABASE_URL is; or set ROLLCALL_EMBEDDED=smtp "),
        (
            dict([DATABASE]),
            "REDIS_URL and SMTP_URL must be set, since DATABASE_URL is; or set ROLLCALL_EMBEDDED=redis,smtp ",
        ),
        (dict([REDIS]), "DATABASE_URL and SMTP_URL must be set, since REDIS_URL is; or "),
        (SMTP, "DATABASE_URL and REDIS_URL must be set, since SMTP_URL is; or "),
        ({**CATCHER, **dict([REDIS])}, "DATABASE_URL must be set, since REDIS_URL is; or "),
        (
            {**dict([DATABASE]), "ROLLCALL_EMBEDDED": "redis"},
            "SMTP_URL must be set, since ROLLCALL_EMBEDDED is redis; or",
        ),
        (
            {"ROLLCALL_EMBEDDED": "none"},
            "DATABASE_URL and REDIS_URL and SMTP_URL must be set, since ROLLCALL_EMBEDDED is none",
        ),
    ],
)
def test_own_and_embedded_servers_are_not_mixed_in_silence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, env: dict[str, str], says: str
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    settings = Settings(rollcall_home=tmp_path / "home")

    with pytest.raises(ConfigurationError, match=re.escape(says)) as refusal, endpoints(settings, make=True):
        pass

    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "home").exists()


@pytest.mark.serves
@pytest.mark.parametrize("named", ["redis,smtp", "REDIS_URL, Mail", "valkey,mailbox", "all"])
def test_what_may_be_embedded_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str) -> None:
    for name, value in [DATABASE, ("ROLLCALL_EMBEDDED", named)]:
        monkeypatch.setenv(name, value)

    with endpoints(Settings(rollcall_home=tmp_path), make=True) as (found, pids):
        assert pids.keys() == {"valkey", "mailbox"}
        assert found.database_url == DATABASE[1]
        monkeypatch.setenv("REDIS_URL", found.redis_url)  # as `services.json` has it: still embedded
        monkeypatch.delenv("ROLLCALL_EMBEDDED")
        monkeypatch.delenv("DATABASE_URL")
        with endpoints(Settings(rollcall_home=tmp_path), frozenset({"smtp"})) as (_, again):
            assert again == {"mailbox": pids["mailbox"]}


@pytest.mark.serves
def test_a_catcher_of_mail_on_this_machine_is_no_mixture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in CATCHER.items():
        monkeypatch.setenv(name, value)

    with endpoints(Settings(rollcall_home=tmp_path), frozenset({"redis", "smtp"}), make=True) as (found, pids):
        assert pids.keys() == {"valkey"}
        assert found.smtp_url == CATCHER["SMTP_URL"]


def test_what_only_looks_makes_no_server(tmp_path: Path) -> None:
    settings = Settings(rollcall_home=tmp_path / "home")

    with (
        pytest.raises(ConfigurationError, match=f"nothing of Rollcall under {tmp_path}/home: .*rollcall up"),
        endpoints(settings),
    ):
        pass

    assert not (tmp_path / "home").exists()


def test_nothing_is_written_where_every_server_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {**SMTP, **dict([DATABASE, REDIS])}.items():
        monkeypatch.setenv(name, value)
    home = tmp_path / "home"
    home.write_text("cannot be a folder")

    with endpoints(Settings(rollcall_home=home)) as (found, pids):
        assert (found.smtp_url, pids) == (SMTP["SMTP_URL"], {})


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
        f"postgresql://u:{SECRET}@localhost/x?hostaddr=127.0.0.1",
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
    shown = without_password(f"postgresql://u:a#?{SECRET}@h1,h2:2/x?sslpassword={SECRET}&options=-ca%3Db")
    assert shown == "postgresql://u:***@h1,h2:2/x?sslpassword=***&options=-ca%3Db"
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


@pytest.mark.serves
def test_a_process_may_open_all_the_files_that_the_system_lets_it() -> None:
    asked = "from config.files import raise_limit; print(raise_limit(), raise_limit())"
    limited = ["sh", "-c", 'ulimit -S -n 100 && ulimit -H -n 300 && exec "$0" -c "$1"', sys.executable, asked]

    assert subprocess.run(limited, capture_output=True, text=True, check=True).stdout.split() == ["300", "300"]
