"""A real PgBouncer in front of the test run's PostgreSQL, with the configuration of deploy/pgbouncer."""

import configparser
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.certificates import self_signed
from tests.servers.unpacked import free_port, libraries, wait_until

ROOT = Path(__file__).parents[1]
INI = ROOT / "deploy" / "pgbouncer" / "pgbouncer.ini"

#: Where Debian installs it, and where `.ci/pgbouncer` unpacks it, with libraries that the machine may not have.
INSTALLED = Path("/usr/sbin/pgbouncer")
UNPACKED = ROOT / ".pgbouncer"

#: Sessions of PostgreSQL that all clients share.
SESSIONS = 4

PASSWORD = "let me / through"


class PgBouncer:
    """One that can be killed and started again, at the same place. `uid` is whose process it is: it is nobody's who may
    do everything, and PostgreSQL's sockets may be closed to others."""

    def __init__(self, folder: Path, database_url: str, **settings: object) -> None:
        self._database = conninfo_to_dict(database_url)
        self._host = Path(str(self._database["host"]))
        self._folder, self.port = folder, free_port()
        self._ini = configparser.ConfigParser(interpolation=None)
        self._ini.read(INI, encoding="utf-8")
        certificate = self_signed(folder / "pgbouncer.pem")
        (folder / "userlist.txt").write_text(f'"{self._database["user"]}" "{PASSWORD}"\n', encoding="utf-8")
        self._ini["databases"] = {"*": f"host={self._host} port={self._database['port']}"}
        self._ini["pgbouncer"].update({
            "listen_addr": "127.0.0.1", "listen_port": str(self.port), "default_pool_size": str(SESSIONS),
            "auth_file": str(folder / "userlist.txt"), "stats_users": str(self._database["user"]),
            "client_tls_cert_file": str(certificate), "client_tls_key_file": str(certificate),
            "server_tls_ca_file": str(certificate),
            **{name: str(value) for name, value in settings.items()},
        })  # fmt: skip
        self.url = self.url_of(str(self._database["dbname"]))
        self._process: subprocess.Popen[bytes] | None = None

    def url_of(self, database: str) -> str:
        """The way to a database through it."""
        return (
            f"postgresql://{self._database['user']}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"
            f"?sslmode=verify-full&sslrootcert={self._folder / 'pgbouncer.pem'}"
        )

    def start(self) -> None:
        """Start it, with what it was told by now."""
        told = self._folder / "pgbouncer.ini"
        with told.open("w", encoding="utf-8") as file:
            self._ini.write(file)
        program, environment = self._program()
        account: dict[str, Any] = {}
        if os.geteuid() == 0:
            uid = self._host.stat().st_uid or pwd.getpwnam("nobody").pw_uid
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, uid, uid)
            account = {"user": uid, "group": uid, "extra_groups": []}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, str(told)], stdout=log, stderr=log, cwd="/", env=environment, **account
            )
        wait_until(self._answers, "an answer of PgBouncer")

    def _program(self) -> tuple[Path, dict[str, str]]:
        """The program and where its libraries are, open to the account that it runs under, which a checkout need not
        be."""
        if INSTALLED.exists():
            return INSTALLED, {}
        copied = self._folder / "program"
        if not copied.exists():
            shutil.copytree(UNPACKED, copied, symlinks=True)
        return copied / "usr" / "sbin" / "pgbouncer", {"LD_LIBRARY_PATH": ":".join(map(str, libraries(copied)))}

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        with suppress(psycopg.OperationalError):
            psycopg.connect(self.url).close()
            return True
        return False

    def kill(self) -> None:
        """End it as a power cut does: whoever waits for an answer gets none."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def change(self, **settings: object) -> None:
        """Have it started again with other settings."""
        self.kill()
        self._ini["pgbouncer"].update({name: str(value) for name, value in settings.items()})
        self.start()

    def log(self) -> str:
        """What it said."""
        return (self._folder / "log").read_text(encoding="utf-8")

    def ask(self, what: str) -> list[dict[str, str]]:
        """The rows of SHOW POOLS, SHOW SERVERS and the like."""
        with psycopg.connect(self.url_of("pgbouncer"), autocommit=True) as console:
            found = console.pgconn.exec_(f"SHOW {what}".encode())
            names = [(found.fname(n) or b"").decode() for n in range(found.nfields)]
            return [
                {name: (found.get_value(row, n) or b"").decode() for n, name in enumerate(names)}
                for row in range(found.ntuples)
            ]


@contextmanager
def pgbouncer(database_url: str, **settings: object) -> Iterator[PgBouncer]:
    """One that runs, in front of a server that is reached by a socket."""
    if not INSTALLED.exists() and not (UNPACKED / "usr" / "sbin" / "pgbouncer").exists():
        pytest.skip("there is no PgBouncer: .ci/pgbouncer unpacks it from Debian's package")
    with tempfile.TemporaryDirectory(prefix="rollcall-", ignore_cleanup_errors=True) as folder:
        found = PgBouncer(Path(folder), database_url, **settings)
        try:
            found.start()
            yield found
        finally:
            found.kill()
