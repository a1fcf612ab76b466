"""A list page by page: each is a link, one goes both ways, and what is ticked on other pages is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tasks.acts import Act
from tasks.acts.paging import Page
from workers.web.console.choosing import MOST_TICKED
from workers.web.console.visits import Visit

Item = TypeVar("Item")

#: Items of a page.
SHOWN = 50

#: Pages of the act that are asked for at most to fill one of ours, if few of what it looks at fit.
ASKED = 20

#: Pages that one can go back by their links.
TRAIL = 20


@dataclass(frozen=True, slots=True)
class ListedPage:
    """A page of a list. `asked`: what the act was asked; `before` and `after`: the pages on both sides; `ticked`: the
    learners whom the form says are ticked, if no script keeps that."""

    asked: Any
    items: list[Any]
    before: str | None
    after: str | None
    ticked: list[str]

    def elsewhere(self) -> list[str]:
        """The learners who are ticked on other pages."""
        here = {one.learner for one in self.items}
        return [one for one in self.ticked if one not in here]


def listing(visit: Visit, what: Act[Any, Page[Any]], **more: object) -> ListedPage:
    """The page of the list that the query of this visit asks for. `more`: what the act is asked besides."""
    asked = visit.read(what.takes, **({"limit": SHOWN} | more))
    items, following = filled(visit, what, asked.after, more)
    before, after = _beside(visit, asked.after, following)
    return ListedPage(asked, items, before, after, visit.all_said("learner")[:MOST_TICKED])


def _beside(visit: Visit, after: str | None, following: str | None) -> tuple[str | None, str | None]:
    """Links to the pages on both sides of one that begins `after` an item."""
    trail = [one for one in visit.said("trail").split(".") if one][-TRAIL:]
    before = None
    if after is not None:
        last = trail[-1] if trail else "-"
        before = visit.again(after=None if last == "-" else last, trail=".".join(trail[:-1]))
    here = ".".join([*trail, after or "-"])
    return before, None if following is None else visit.again(after=following, trail=here)


def filled(
    visit: Visit, what: Act[Any, Page[Item]], after: str | None, more: Mapping[str, object], shown: int = SHOWN
) -> tuple[list[Item], str | None]:
    """A page as full as the list allows: the act may answer fewer, and say that there are more."""
    found: list[Item] = []
    for _ in range(ASKED):
        begin = {} if after is None else {"after": after}
        part = visit.ask(what, visit.read(what.takes, **{"limit": shown - len(found), **more, **begin}))
        found += part.items
        after = part.next
        if after is None or len(found) == shown:
            break
    return found, after
