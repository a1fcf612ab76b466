"""R31: many thousands of letters, well meant or not, and of names: each is refused in a line or becomes a mail that is
what it should be, within bounded memory."""

import os
from resource import RUSAGE_SELF, getrusage

from hypothesis import HealthCheck, given
from hypothesis import settings as examples

from tests.chaos.conftest import say
from tests.mail.authors import BODIES, SUBJECTS, VALUES, holds

#: Letters; fewer show that it runs.
LETTERS = int(os.environ.get("CHAOS_LETTERS", "20000"))

#: By how many kilobytes all that may grow what this process has had of memory. Hypothesis keeps some of it.
GROWTH = 400 * 1024


def test_r31_many_thousand_letters_are_refused_in_a_line_or_become_mails() -> None:
    @given(SUBJECTS, BODIES, VALUES)
    @examples(max_examples=LETTERS, derandomize=False, database=None, suppress_health_check=list(HealthCheck))
    def read_all(subject: str, body: str, value: str) -> None:
        assert holds(subject, body, value)

    before = getrusage(RUSAGE_SELF).ru_maxrss
    read_all()
    grown = getrusage(RUSAGE_SELF).ru_maxrss - before

    say(f"{LETTERS} letters of authors: {grown // 1024} MB more at most")
    assert grown < GROWTH
