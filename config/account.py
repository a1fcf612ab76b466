"""The account that the embedded PostgreSQL runs under, which refuses to be root's: ours, or a number that nobody has.

No user is made for it, and no folder outside the home is opened to it. Where it could not pass through one, as `/root`,
it is given the right to look into folders (`CAP_DAC_READ_SEARCH`) and nothing else of root's.
"""

import ctypes
import errno
import os
import pwd
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: The number where there is no data of an earlier one: of no user, and of no range that Linux gives numbers from.
NUMBER = 60_999

#: A cluster that is the same whatever the locale of who makes it.
_INITDB = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
           "--builtin-locale=C.UTF-8")  # fmt: skip

#: capabilities(7): to read and search whatever the modes say; to do that and to write.
_READ_SEARCH, _OVERRIDE = 2, 1

#: prctl(2) and capset(2). Without the fix-up a change of user drops no capability, and access(2) minds those we have.
_SET_SECUREBITS, _NO_SETUID_FIXUP, _READ_BOUNDING, _AMBIENT, _RAISE = 28, 1 << 2, 23, 47, 2
_VERSION_3 = 0x20080522

#: How a line ends that says what the system refused: what a program says after it only follows from that.
_CAUSES = tuple(
    map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE))
)

#: What of glibc's memory a server keeps between statements, in octets (mallopt(3)). By itself it gives most of it back
#: after each, and the next statement takes it page by page.
_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "2097152", "MALLOC_TRIM_THRESHOLD_": "8388608"}

#: Becomes another account with a capability, then the program that is named.
_BECOME = "import sys; from config.account import become; become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])"


@dataclass(frozen=True)
class Account:
    """Whose processes are started: `uid` is None for our own, `capability` None where modes suffice."""

    uid: int | None = None
    capability: int | None = None

    @classmethod
    def of(cls, data: Path, programs: Path) -> "Account":
        """The account for these data (there may be none yet) and programs. Opens the home to it, and the programs'."""
        if os.geteuid() != 0:
            return cls()
        owner = data.stat().st_uid if data.exists() else NUMBER
        _open_to_all(data.parent, stat.S_IXOTH)
        for path in (programs.parent, *programs.parent.rglob("*")):
            if not path.is_symlink():
                _open_to_all(path, stat.S_IROTH | (stat.S_IXOTH if path.stat().st_mode & stat.S_IXUSR else 0))
        closed = [one for path in (data, programs) for one in path.parents if not one.stat().st_mode & stat.S_IXOTH]
        return cls(owner or NUMBER, _capability() if closed else None)

    def give(self, path: Path) -> None:
        """Make this account the owner of a path."""
        if self.uid is not None:
            os.chown(path, self.uid, self.uid)

    def make_database(self, data: Path, programs: Path) -> None:
        """Make an empty database cluster of this account's."""
        command = [str(programs / "initdb"), *_INITDB, "-D", str(data)]
        if self.uid is None:
            self.run([*_given_a_name(), *command])
            return
        maker = _anybody()  # initdb asks for the name of its user
        data.mkdir(mode=0o700)
        os.chown(data, maker, maker)
        Account(maker, self.capability).run(command)
        for folder, _, files in os.walk(data):
            for path in (folder, *(os.path.join(folder, file) for file in files)):  # noqa: PTH118 - a thousand of them
                os.lchown(path, self.uid, self.uid)

    def run(self, command: list[str]) -> None:
        """Run a program to its end. Raises OSError, with why the system refused it something, or else with the
        last it said."""
        program = command[0]
        identity: dict[str, int | list[int]] = {}
        if self.uid is not None and self.capability is None:
            identity = {"user": self.uid, "group": self.uid, "extra_groups": []}
        elif self.uid is not None:
            command = [sys.executable, "-c", _BECOME, str(self.uid), str(self.capability), *command]
        with tempfile.TemporaryFile() as said:  # a pipe would be held by what the program leaves running
            done = subprocess.run(
                command,
                **identity,  # type: ignore[call-overload]
                cwd="/" if self.capability is None else Path(__file__).parents[1],
                env=_MEMORY | {name: value for name, value in os.environ.items() if not name.startswith("PG")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                check=False,
            )
            said.seek(0)
            lines = said.read(10_000).decode(errors="replace").splitlines()
        if done.returncode:
            last = lines[-1] if lines else f"exit code {done.returncode}"
            said_why = next((line for line in lines if line.endswith(_CAUSES)), last)
            raise OSError(f"{Path(program).name}: {said_why.removeprefix(f'{Path(program).name}: ')}")


def become(uid: int, capability: int, command: list[str]) -> None:
    """Turn this process of root's into a program of another account's, which keeps one capability."""
    libc = ctypes.CDLL(None, use_errno=True)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    bit = 1 << capability
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    # effective, permitted, inheritable; then the same for capabilities from 32 on
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    _done(libc.prctl(_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0))
    os.setresuid(uid, uid, uid)
    _done(libc.capset(header, sets))
    _done(libc.prctl(_AMBIENT, _RAISE, capability, 0, 0))
    os.chdir("/")
    os.execv(command[0], command)  # noqa: S606 - that is what this is for


def _done(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _capability() -> int:
    """The least capability of ours with which closed folders can be passed through. Raises OSError."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    for one in (_READ_SEARCH, _OVERRIDE):
        if libc is not None and libc.prctl(_READ_BOUNDING, one, 0, 0, 0) == 1:
            return one
    raise OSError("it may not run as root, and no other user may pass through the folders above it")


def _anybody() -> int:
    """The number of a user that is not root and has a name; nobody, if there is one. Raises OSError."""
    named = {user.pw_name: user.pw_uid for user in pwd.getpwall() if user.pw_uid != 0}
    if not named:
        raise OSError("it may not run as root, and there is no other user")
    return named.get("nobody", next(iter(named.values())))


def _given_a_name() -> list[str]:
    """What runs a program of ours as somebody who has a name, in a namespace of users of its own, if we have none, as
    in many a container; nothing where that cannot be: the program then says what it lacks."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        with suppress(OSError):
            as_somebody = ["/usr/bin/unshare", "--user", f"--map-user={_anybody()}"]
            if subprocess.run([*as_somebody, "/bin/true"], capture_output=True, check=False).returncode == 0:
                return as_somebody
    return []


def _open_to_all(path: Path, mode: int) -> None:
    before = stat.S_IMODE(path.stat().st_mode)
    if before & mode != mode:
        path.chmod(before | mode)
