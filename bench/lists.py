"""Lists of learners over HTTP: the first page, one deep inside, and searches, beside a search without an index."""

import http.client
import time
from random import Random
from typing import Any
from urllib.parse import urlencode

from bench.figures import Goal, Ratio, percentile
from bench.system import NUMBER, ORGANISATION, Database
from config.engine import make_engine
from tasks import learners
from tasks.acts.paging import page_ending_at

#: Requests of a kind in a round, and statements without an index.
REQUESTS, STATEMENTS = 40, 5

#: Learners that are indexed at once.
SLICE = 4096

#: What a page may take, in milliseconds, 95 times of a hundred.
MOST = 50.0

_WITHOUT_INDEX = """
    SELECT id, username, email, first_name, last_name FROM learners l
    WHERE organisation = 1 AND standing = 'active' AND search_text(l) LIKE %s ORDER BY learner LIMIT 100
"""


def index(database: Database) -> None:
    """Index all learners for the search, as the relay does."""
    database.execute("UPDATE search_ends SET through = 0")
    engine = make_engine(database.url, role="bench")
    while learners.index_learners(engine, SLICE):
        pass
    engine.dispose()
    database.execute("VACUUM ANALYZE searchable")


class Lists:
    """What each kind of page took, round by round."""

    def __init__(self, port: int, token: str, size: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._token, self._size = token, size
        self.took: dict[str, list[float]] = {}
        self.without: list[float] = []

    def round(self, database: Database, chance: Random) -> None:
        """Ask for some pages of each kind, and search without an index."""
        size = self._size
        self._connection.close()  # since the last round it was idle for longer than a server waits

        def deep() -> dict[str, Any]:
            listed = ("learners", NUMBER, "active", None, None)
            return {"after": page_ending_at([], (chance.randint(size // 2, size - 200),), *listed).next}

        kinds: dict[str, Any] = {
            "first page": dict,
            "page deep inside": deep,
            "search for one": lambda: {"search": f"user{chance.randint(size // 2, size)}"},
            "search for nobody": lambda: {"search": f"zq{chance.randint(100, 999)}xj"},
            "search for some": lambda: {"search": f"last{chance.randint(100, 976)}"},
            "search for all": lambda: {"search": "last first"},
        }
        for kind, asked in kinds.items():
            took = [self._ask(asked()) for _ in range(REQUESTS)]
            self.took.setdefault(kind, []).append(percentile(took, 95))
        took = []
        for _ in range(STATEMENTS):
            begun = time.perf_counter()
            database.session.execute(_WITHOUT_INDEX, (f"%user{chance.randint(size // 2, size)}%",)).fetchall()
            took.append(1000 * (time.perf_counter() - begun))
        self.without.append(percentile(took, 95))

    def ratios(self) -> list[Ratio]:
        """Each kind beside the search without an index."""
        goal = Goal(MOST, most=True, of_ratio=False)
        against = "LIKE without an index, p95"
        return [
            Ratio(f"{kind} of {self._size:,} learners, p95", against, "ms", took, self.without, digits=1, goal=goal)
            for kind, took in self.took.items()
        ]

    def _ask(self, query: dict[str, Any]) -> float:
        begun = time.perf_counter()
        path = f"/api/v1/organisations/{ORGANISATION}/learners?{urlencode(query)}"
        self._connection.request("GET", path, headers={"Authorization": f"Bearer {self._token}"})
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(body.decode(errors="replace"))
        return 1000 * (time.perf_counter() - begun)
