"""Postfix, with Dovecot to sign in to: one instance, which listens on a port of its own for each set of options."""

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.certificates import self_signed
from tests.servers.mailboxes import Mailboxes
from tests.servers.unpacked import GROUP, OWNER, a_place, free_port, libraries, listens, running, wait_until

USER, PASSWORD = "rollcall", "s3cret-Word"

_MAIN = """
compatibility_level = 3.6
queue_directory = {place}/queue
data_directory = {place}/data
daemon_directory = {programs}/usr/lib/postfix/sbin
command_directory = {programs}/usr/sbin
shlib_directory = {programs}/usr/lib/postfix
meta_directory = {place}/etc
mail_owner = {owner}
setgid_group = {group}
default_privs = nobody
import_environment = MAIL_CONFIG LD_LIBRARY_PATH
export_environment = MAIL_CONFIG LD_LIBRARY_PATH
maillog_file = {place}/log
maillog_file_prefixes = {place}
myhostname = mx.acme.example
mydestination =
mynetworks =
alias_maps =
alias_database =
inet_interfaces = loopback-only
inet_protocols = ipv4
virtual_mailbox_domains = acme.example, learners.acme.example
virtual_mailbox_base = {place}/mail
virtual_mailbox_maps = regexp:{place}/etc/mailboxes
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_data_restrictions = reject_unauth_pipelining
smtpd_error_sleep_time = 0
anvil_rate_time_unit = 2s
smtpd_sasl_type = dovecot
smtpd_sasl_path = {place}/auth
smtpd_tls_cert_file = {place}/mail.pem
smtpd_tls_key_file = {place}/mail.pem
"""

#: Whose local part begins with "gone" has no mailbox; the others' mail lies in one place.
_MAILBOXES = "if !/^gone/\n/@(learners\\.)?acme\\.example$/ all/\nendif\n"

_MASTER = """
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""

_DOVECOT = """
base_dir = {place}/dovecot
state_dir = {place}/dovecot-state
libexec_dir = {programs}/usr/lib/dovecot
default_internal_user = {owner}
default_internal_group = {owner}
default_login_user = nobody
import_environment = LD_LIBRARY_PATH
protocols =
ssl = no
log_path = {place}/dovecot.log
auth_mechanisms = plain login
auth_failure_delay = 0
disable_plaintext_auth = no
passdb {{
  driver = passwd-file
  args = scheme=plain {place}/users
}}
userdb {{
  driver = static
  args = uid={owner} gid={owner} home=/nonexistent
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  user = root
  unix_listener {place}/auth {{
    mode = 0666
  }}
}}
"""

_QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "private",
           "public", "saved", "trace")  # fmt: skip


@dataclass
class Postfix:
    """What a test sees of it."""

    place: Path
    process: psutil.Process
    certificate: Path
    mailboxes: Mailboxes
    _ports: dict[tuple[tuple[str, str], ...], int] = field(default_factory=dict)
    _services: dict[int, str] = field(default_factory=dict)

    def port(self, **options: object) -> int:
        """The port on which it listens with these options of main.cf besides its own; counts of its own are kept for
        each."""
        known = tuple((name, str(value)) for name, value in options.items())
        if known not in self._ports:
            self._ports[known] = self._listen(known)
        return self._ports[known]

    def _listen(self, options: tuple[tuple[str, str], ...]) -> int:
        port = free_port()
        said = "".join(f"\n  -o {{ {name} = {value} }}" for name, value in options)
        self._services[port] = f"127.0.0.1:{port} inet n - n - - smtpd{said}\n"
        self.opens(port)
        return port

    def opens(self, port: int) -> None:
        """Listen on a port of its own again."""
        self._serve(self._services)
        wait_until(lambda: listens(self.process, port), f"Postfix to listen on {port}: {self.log[-1000:]}")

    def closes(self, port: int) -> None:
        """Be away from a port: nobody listens there, and who is connected is hung up on."""
        self._serve({one: line for one, line in self._services.items() if one != port})
        wait_until(lambda: not listens(self.process, port), f"Postfix to be away from {port}")

    def _serve(self, services: dict[int, str]) -> None:
        (self.place / "etc/master.cf").write_text(_MASTER + "".join(services.values()))
        self.process.send_signal(signal.SIGHUP)

    def url(self, **options: object) -> str:
        """As `SMTP_URL` names it."""
        return f"smtp://127.0.0.1:{self.port(**options)}?tls=none"

    def lets_in(self, password: str, *others: str) -> None:
        """Who signs in with this password, and others whose password it is; Dovecot hears of it within a second."""
        users = "".join(f"{user}:{{plain}}{password}\n" for user in (USER, *others))
        (self.place / "users").write_text(users)

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.place / "log").read_text(errors="replace")

    def waits_for(self, happened: Callable[[], bool], what: str) -> None:
        """Return as soon as something has happened. Raises TimeoutError."""
        wait_until(happened, what)

    def delivers(self) -> None:
        """Return once everything that was taken lies in a mailbox."""
        queues = [self.place / "queue" / name for name in ("maildrop", "incoming", "active", "deferred")]
        wait_until(
            lambda: not any(path.is_file() for queue in queues for path in queue.rglob("*")),
            "Postfix to deliver everything",
        )


@contextmanager
def postfix() -> Iterator[Postfix]:
    """Postfix and Dovecot, until the block ends."""
    with a_place() as (programs, place):
        uid, gid = _prepare(programs, place)
        places = {"place": place, "programs": programs, "owner": OWNER, "group": GROUP, "uid": uid, "gid": gid}
        (place / "etc/main.cf").write_text(_MAIN.format(**places))
        (place / "etc/master.cf").write_text(_MASTER)
        (place / "etc/mailboxes").write_text(_MAILBOXES)
        (place / "dovecot.conf").write_text(_DOVECOT.format(**places))
        dovecot = programs / "usr/lib/dovecot"
        doveconf = (
            programs / "usr/bin/doveconf", "-c", place / "dovecot.conf", "-f", "service=master", "-m", "master", "-p",
            "-e", programs / "usr/sbin/dovecot", "-F", "-c", place / "dovecot.conf",
        )  # fmt: skip
        with (
            running(
                doveconf,
                {"LD_LIBRARY_PATH": _path(dovecot, dovecot / "modules/old-stats", *libraries(programs))},
                place / "dovecot.said",
            ),
            running(
                (programs / "usr/lib/postfix/sbin/master", "-c", place / "etc", "-d"),
                {
                    "LD_LIBRARY_PATH": _path(programs / "usr/lib/postfix", *libraries(programs)),
                    "MAIL_CONFIG": str(place / "etc"),
                },
                place / "postfix.said",
            ) as master,
        ):
            found = Postfix(place, master, place / "mail.pem", Mailboxes(place / "mail/all", named="Delivered-To"))
            found.lets_in(PASSWORD)
            wait_until((place / "auth").exists, f"Dovecot to listen: {(place / 'dovecot.said').read_text()}")
            wait_until((place / "log").exists, f"Postfix to run: {(place / 'postfix.said').read_text()}")
            yield found


def _path(*folders: Path) -> str:
    return ":".join(map(str, folders))


def _prepare(programs: Path, place: Path) -> tuple[int, int]:
    """The folders that Postfix would make as it is installed; whom mail belongs to."""
    for name in ("etc", "data", "mail", "queue", "queue/pid", *(f"queue/{name}" for name in _QUEUES)):
        (place / name).mkdir()
    for name in ("data", "mail", *(f"queue/{name}" for name in _QUEUES)):
        shutil.chown(place / name, OWNER)
    for name, mode in (("maildrop", 0o730), ("public", 0o710)):
        shutil.chown(place / "queue" / name, OWNER, GROUP)
        (place / "queue" / name).chmod(mode)
    self_signed(place / "mail.pem")
    found = (place / "mail").stat()
    shutil.copyfile(programs / "etc/postfix/postfix-files", place / "etc/postfix-files")
    shutil.chown(place / "mail", OWNER, OWNER)
    return found.st_uid, (place / "mail").stat().st_gid
