"""Exim, from its package: one configuration, which a test may change; each change begins it anew."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.mailboxes import Mailboxes
from tests.servers.unpacked import OWNER, a_place, free_port, libraries, listens, running, wait_until

#: `Debian-exim` is whom this Exim is compiled to be: nss_wrapper says that it is another name of one that is there.
_NAMED = "Debian-exim"

_CONFIGURATION = """
exim_path = {place}/exim
exim_user = {owner}
exim_group = {owner}
trusted_users = {owner}
never_users =
primary_hostname = mx2.acme.example
spool_directory = {place}/spool
log_file_path = {place}/log/%slog
local_interfaces = 127.0.0.1
keep_environment = LD_LIBRARY_PATH:LD_PRELOAD:NSS_WRAPPER_PASSWD:NSS_WRAPPER_GROUP
deliver_drop_privilege = true
smtp_accept_queue_per_connection = 0
rfc1413_query_timeout = 0s
tls_advertise_hosts =
acl_smtp_rcpt = acl_check_rcpt
{main}
begin acl
acl_check_rcpt:
{rcpt}
  require message = relay not permitted
          domains = acme.example
  require verify = recipient
  accept
acl_check_data:
{data}
  accept
begin routers
local:
  driver = accept
  domains = acme.example
  local_parts = ! ^gone
  transport = maildir
  cannot_route_message = Unknown user
begin transports
maildir:
  driver = appendfile
  directory = {place}/mail
  maildir_format
  create_directory
  envelope_to_add
"""


@dataclass
class Exim:
    """What a test sees of it."""

    place: Path
    port: int
    mailboxes: Mailboxes

    @property
    def url(self) -> str:
        """As `SMTP_URL` names it."""
        return f"smtp://127.0.0.1:{self.port}?tls=none"

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.place / "log/mainlog").read_text(errors="replace")

    def delivers(self) -> None:
        """Return once everything that was taken lies in a mailbox."""
        spool = self.place / "spool/input"
        wait_until(lambda: not any(spool.rglob("*-H")), "Exim to deliver everything")


@contextmanager
def exim(main: str = "", rcpt: str = "", data: str = "") -> Iterator[Exim]:
    """Exim until the block ends, with these lines besides in its main part and its two lists of rules."""
    with a_place() as (programs, place):
        port = free_port()
        for name in ("spool", "log", "mail"):
            (place / name).mkdir()
            shutil.chown(place / name, OWNER, OWNER)
        mail = place / "mail"
        mailboxes = Mailboxes(mail, named="Envelope-to")
        program = place / "exim"
        shutil.copyfile(programs / "usr/sbin/exim4", program)
        program.chmod(0o755)  # without its setuid bit, with which it would heed none of what is set here
        configuration = place / "exim.conf"
        if data:
            main = f"{main}\nacl_smtp_data = acl_check_data"
        configuration.write_text(_CONFIGURATION.format(place=place, owner=OWNER, main=main, rcpt=rcpt, data=data))
        found = mail.stat()
        for name, known in (("passwd", f"{_NAMED}:x:{found.st_uid}:{found.st_gid}::/:/bin/false"),
                            ("group", f"{_NAMED}:x:{found.st_gid}:")):  # fmt: skip
            (place / name).write_text(Path("/etc", name).read_text() + known + "\n")
        environment = {
            "LD_LIBRARY_PATH": ":".join(map(str, libraries(programs))),
            "LD_PRELOAD": "libnss_wrapper.so",
            "NSS_WRAPPER_PASSWD": str(place / "passwd"),
            "NSS_WRAPPER_GROUP": str(place / "group"),
        }
        words = (program, "-C", configuration, "-bdf", "-q1m", "-oX", f"127.0.0.1.{port}", "-oP", place / "exim.pid")
        with running(words, environment, place / "said") as process:
            wait_until(lambda: listens(process, port), f"Exim to listen: {(place / 'said').read_text()}")
            yield Exim(place, port, mailboxes)
