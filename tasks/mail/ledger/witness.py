"""What is remembered outside of the database of the mail that it has begun: in Redis, in the home, in this process.

A database that has counted less than somebody remembers is not the one that was seen last: it was restored from a
backup, or it took the place of one that had not handed over everything. What is remembered was committed before, and
the counts are read after it; so no database that lost nothing is ever taken for a restored one.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from struct import iter_unpack
from typing import Any

import redis
import structlog
from sqlalchemy import Connection, Engine, event

from config import clock
from config.services import write_private
from config.streams import make_impatient_redis
from tasks.mail.ledger import control
from tasks.work import Beat

log = structlog.get_logger()

#: Where the highest counts lie in Redis, and the mails of each group, by the numbers of their Message-IDs.
HIGHEST = "rollcall:witness:"
SENT = "rollcall:sent:"

#: For how long Redis keeps which mails went, in seconds, and of how many groups; a full group takes 1.6 kB.
KEPT_SECONDS = 8 * 86400
MOST_GROUPS = 100_000

#: The file in the home with the highest counts, by installation.
FILE = "witness.json"

#: Seconds between two looks of a process whether its database is the one that was seen last.
LOOK_SECONDS = 1.0

#: Seconds of patience with Redis where it is asked first, or for all that it knows, and where mails wait for it; and
#: for which it is left alone after that was not enough.
FIRST_ANSWER_SECONDS = 3.0
ANSWER_SECONDS = 0.2
AWAY_SECONDS = 5.0

#: Groups that a process keeps for Redis while that does not answer.
MOST_UNSAID = 1000

#: Groups read from Redis at once.
PAGE = 1000

_WENT = """
redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[1])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'group', ARGV[1] .. ':' .. ARGV[2], 'mails', ARGV[3])
redis.call('XTRIM', KEYS[2], 'MINID', '~', ARGV[5])
"""


@dataclass(frozen=True, slots=True)
class SentSince:
    """What Redis knows of the mail that went after the moment to which the database was restored: so many groups, so
    many more of which it does not know the mails, and the mails. `answers`: whether Redis did."""

    groups: int = 0
    unknown: int = 0
    mails: dict[int, bool] = field(default_factory=dict)
    answers: bool = True


class Witness:
    """What this process remembers, and reads and writes of what others do. Used from any thread."""

    def __init__(self, redis_url: str, home: Path) -> None:
        """Without a `redis_url` the home alone is asked."""
        self._redis = make_impatient_redis(redis_url, ANSWER_SECONDS) if redis_url else None
        self._patient = make_impatient_redis(redis_url, FIRST_ANSWER_SECONDS) if redis_url else None
        self._script = None if self._redis is None else self._redis.register_script(_WENT)
        self._file = home / FILE
        self._lock = threading.Lock()
        self._seen: dict[str, dict[int, int]] = {}
        self._asked: set[str] = set()
        self._installation = ""
        self._look_at = 0.0
        self._connected = 0
        self._ask_redis_at = 0.0
        self._unsaid: deque[tuple[str, Beat, bytes]] = deque(maxlen=MOST_UNSAID)
        self._written = -1
        self._complained = False

    def look_when_connected(self, engine: Engine) -> None:
        """Look again whenever a connection is made: another database may be at its end."""
        event.listen(engine, "connect", lambda *_: self.look_soon())

    def look_soon(self) -> None:
        """Look at the next opportunity, and again until the database is found to be the one that was seen last."""
        self._connected += 1
        self._look_at = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to look."""
        return time.monotonic() >= self._look_at

    def highest(self, connection: Connection) -> dict[int, int]:
        """The highest counts that anybody remembers of this database, by shard."""
        self._installation = name = control.installation(connection)
        self._remember(name, self._in_home().get(name, {}))
        self._remember(name, self._in_redis(name))
        return dict(self._seen.get(name, {}))

    def is_behind(self, connection: Connection) -> bool:
        """Whether the database has counted less than anybody remembers: it was restored."""
        return self._compare(connection)[0]

    def keeps_up(self, connection: Connection) -> bool:
        """Whether the database has not: its counts are then written to the home, if they have changed."""
        behind, counts = self._compare(connection)
        if not behind:
            self._keep(connection, counts)
        return not behind

    def _compare(self, connection: Connection) -> tuple[bool, dict[int, int]]:
        connected = self._connected
        highest, counts = self.highest(connection), control.pulses(connection)  # in this order: others count on
        behind = any(n < highest.get(shard, 0) for shard, n in counts.items())
        if behind:  # the transaction may see an older moment, where the server's default isolation says so
            behind = any(n < highest.get(shard, 0) for shard, n in control.pulses_now(connection).items())
        if not behind and connected == self._connected:
            self._look_at = time.monotonic() + LOOK_SECONDS
        return behind, counts

    def contradicts(self, beat: Beat) -> bool:
        """Whether this was counted before: the database at the end of the connection is another one by now."""
        return beat.n <= self._seen.get(self._installation, {}).get(beat.shard, 0)

    def went(self, beat: Beat, mails: bytes) -> None:
        """Remember a group, whose mark is committed and which is about to be sent: the numbers of its mails, eight
        bytes each, in network order."""
        self._remember(self._installation, {beat.shard: beat.n})
        if self._redis is None or not self._installation:
            return
        with self._lock:
            self._unsaid.append((self._installation, beat, mails))
            if time.monotonic() < self._ask_redis_at:
                return
            unsaid, self._unsaid = self._unsaid, deque(maxlen=MOST_UNSAID)
        try:
            if len(unsaid) == 1:
                self._say(*unsaid[0], self._redis)
            else:
                with self._redis.pipeline(transaction=False) as pipe:
                    for each in unsaid:
                        self._say(*each, pipe)
                    pipe.execute()
        except redis.RedisError as problem:
            with self._lock:
                self._unsaid.extendleft(reversed(unsaid))
            self._leave_redis_alone(problem)

    def _say(self, name: str, beat: Beat, mails: bytes, client: redis.Redis) -> None:
        assert self._script is not None  # noqa: S101 - whoever calls this has looked
        oldest = int((clock.seconds() - KEPT_SECONDS) * 1000)
        self._script(
            keys=[HIGHEST + name, SENT + name], args=[beat.shard, beat.n, mails, MOST_GROUPS, oldest], client=client
        )

    def begin_anew(self, connection: Connection, count: int) -> None:
        """Remember that all counts go on from here."""
        name = control.installation(connection)
        counts = dict.fromkeys(control.pulses(connection), count)
        self._remember(name, counts)
        if self._redis is not None:
            with suppress(redis.RedisError):
                self._redis.zadd(HIGHEST + name, {str(shard): n for shard, n in counts.items()}, gt=True)
        self.keep(connection)

    def keep(self, connection: Connection) -> None:
        """Write the counts to the home, if they have changed. Where it cannot be written, that is said once."""
        self._keep(connection, control.pulses(connection))

    def _keep(self, connection: Connection, counts: Mapping[int, int]) -> None:
        if sum(counts.values()) == self._written:
            return
        name = control.installation(connection)
        known = self._in_home()
        kept = known.get(name, {})
        highest = {str(shard): max(n, kept.get(shard, 0)) for shard, n in counts.items()}
        try:
            write_private(self._file, json.dumps({**known, name: highest}))
            self._written = sum(counts.values())
        except OSError as problem:
            if not self._complained:
                self._complained = True
                log.warning("mail.witness_not_written", file=str(self._file), why=problem.strerror)

    def sent_since(self, connection: Connection) -> SentSince:
        """What went after the moment to which the database was restored, as Redis knows it."""
        name, counts = control.installation(connection), control.pulses(connection)
        highest = self.highest(connection)
        if self._redis is None:
            return SentSince(unknown=_missing(counts, highest, {}), answers=False)
        known: dict[int, set[int]] = {shard: set() for shard in counts}
        mails: dict[int, bool] = {}
        try:
            for beat, numbers in self._groups(name):
                if beat.n > counts.get(beat.shard, 0):
                    known.setdefault(beat.shard, set()).add(beat.n)
                    mails.update(dict.fromkeys(numbers, False))
        except redis.RedisError as problem:
            self._leave_redis_alone(problem)
            return SentSince(unknown=_missing(counts, highest, {}), answers=False)
        groups = sum(map(len, known.values()))
        return SentSince(groups, _missing(counts, highest, known), mails)

    def _groups(self, name: str) -> Iterator[tuple[Beat, list[int]]]:
        after = b"-"
        while found := self._page(name, after):
            for entry, fields in found:
                after = b"(" + entry
                shard, _, n = fields[b"group"].partition(b":")
                yield Beat(int(shard), int(n)), [number for (number,) in iter_unpack(">q", fields[b"mails"])]

    def _page(self, name: str, after: bytes) -> Any:
        assert self._patient is not None  # noqa: S101 - whoever calls this has looked
        return self._patient.xrange(SENT + name, min=after, count=PAGE)

    def _remember(self, name: str, counts: Mapping[int, int]) -> None:
        with self._lock:
            seen = self._seen.setdefault(name, {})
            for shard, n in counts.items():
                seen[shard] = max(seen.get(shard, 0), n)

    def _in_redis(self, name: str) -> dict[int, int]:
        client = self._redis if name in self._asked else self._patient
        if client is None or time.monotonic() < self._ask_redis_at:
            return {}
        try:
            found: Any = client.zrange(HIGHEST + name, 0, -1, withscores=True)
        except redis.RedisError as problem:
            self._leave_redis_alone(problem)
            return {}
        self._asked.add(name)
        return {int(shard): int(n) for shard, n in found}

    def _in_home(self) -> dict[str, dict[int, int]]:
        try:
            found = json.loads(self._file.read_text())
            return {str(name): {int(shard): int(n) for shard, n in counts.items()} for name, counts in found.items()}
        except (OSError, ValueError, AttributeError, TypeError):  # not there, not ours, or broken
            return {}

    def _leave_redis_alone(self, problem: Exception) -> None:
        self._ask_redis_at = time.monotonic() + AWAY_SECONDS
        log.warning("mail.witness_alone", problem=type(problem).__name__)


def _missing(counts: Mapping[int, int], highest: Mapping[int, int], known: Mapping[int, set[int]]) -> int:
    """How many groups were begun after `counts` and are not `known`. Where the database was restored before, the
    counts went on from a higher number, and nobody knows how many were begun under the lower ones after that."""
    missing = 0
    for shard, n in counts.items():
        begun = known.get(shard, set())
        for before, after in pairwise(sorted({n, *begun, max(highest.get(shard, 0), n)})):
            epoch = (after >> control.COUNT_BITS) << control.COUNT_BITS
            missing += after - max(before, epoch) - (after in begun)
    return missing
