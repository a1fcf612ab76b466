"""What tries the tests themselves: `make mutants`."""

import gc
import threading
from pathlib import Path

from tasks.announcements import rules as announcements
from tasks.learners import rules
from tests.mutation import ROOT, calls_of, exchange, mutants


def test_a_mutant_stands_in_the_place_of_what_was_there_when_tests_were_collected() -> None:
    """As it does in a run of the tests, where all of that is frozen."""
    path = Path(rules.__file__)
    mutant = next(one for one in mutants(path) if one.function == "effective_version")
    original = rules.effective_version.__code__
    gc.freeze()

    try:
        exchange(mutant)
        assert rules.effective_version.__code__ == mutant.code != original
    finally:
        rules.effective_version.__code__ = original
        gc.freeze()
    assert str(mutant).startswith(f"{path.relative_to(ROOT)}:")


def test_a_mutant_that_no_longer_calls_super_stands_there_too() -> None:
    path = Path(announcements.__file__)
    mutant = next(one for one in mutants(path) if "super()" in one.what)
    original = announcements.BadMessage.__init__.__code__

    try:
        exchange(mutant)
        assert announcements.BadMessage("says", "subject").args == ("says", "subject"), "as if nobody had said which"
    finally:
        announcements.BadMessage.__init__.__code__ = original


def test_a_test_is_known_by_what_its_threads_call_too() -> None:
    with calls_of({str(Path(rules.__file__))}) as called:
        thread = threading.Thread(target=rules.effective_version, args=(None, 3))
        thread.start()
        thread.join()

    assert called == {rules.effective_version.__code__}
