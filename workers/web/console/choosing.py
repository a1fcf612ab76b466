"""Whom a form of a list is about: those who are ticked, or everybody whom the list finds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from config.errors import Conflict, UserError
from tasks.acts import Act
from tasks.acts.paging import MOST as PAGE
from tasks.acts.paging import Page
from workers.web.console.visits import Visit

Asked = TypeVar("Asked")
Item = TypeVar("Item")

#: How many may be ticked, and how many a list may find.
MOST_TICKED, MOST_FOUND = 1000, 10_000


@dataclass(frozen=True, slots=True)
class ChosenIds:
    """Ids of learners. `every`: they are all that the list finds, and `seal` tells whether it finds the same later: a
    page does not repeat so many. `fields`: what a form that confirms it carries."""

    ids: list[str]
    every: bool

    @property
    def seal(self) -> str:
        """What tells these from others."""
        return sha256("\0".join(self.ids).encode()).hexdigest()[:16]

    @property
    def fields(self) -> list[tuple[str, str]]:
        """What says the same again."""
        if self.every:
            return [("every", "yes"), ("seal", self.seal)]
        return [("learner", one) for one in self.ids]


def chosen(visit: Visit, what: Act[Asked, Page[Any]], **more: object) -> ChosenIds:
    """Whom the form is about. `what`: the act of the list, which `back` is the address of; `more`: what the list is
    asked besides.

    Raises `UserError` for nobody and for too many, `Conflict` if the list finds others than when it was looked at.
    """
    words, number = visit.reader.words, visit.reader.number
    if not visit.said("every"):
        ids = visit.all_said("learner")
        if len(ids) > MOST_TICKED:
            says = words.gettext("More than {number} are ticked: change them in several steps.")
            raise UserError(says.format(number=number(MOST_TICKED)))
    else:
        listed = replace(visit, query=parse_qsl(visit.said("back").partition("?")[2]))
        ids = []
        for item in each(listed, what, **more):
            ids.append(item.learner)
            if len(ids) > MOST_FOUND:
                says = words.gettext("The list finds more than {number}: search for fewer of them.")
                raise UserError(says.format(number=number(MOST_FOUND)))
    found = ChosenIds(ids, bool(visit.said("every")))
    if visit.said("seal") not in {"", found.seal}:
        raise Conflict(words.gettext("The list finds others than before: go back, and look at it again."))
    if not ids:
        raise UserError(words.gettext("Nobody is ticked: go back, tick somebody, and press the button."))
    return found


def each(visit: Visit, what: Act[Asked, Page[Item]], **more: object) -> Iterator[Item]:
    """All that the list of this visit finds, from its beginning, page by page."""
    after: str | None = None
    while True:
        begin = {"after": after} if after else {}
        query = [(name, value) for name, value in visit.query if name != "after"]
        asked = replace(visit, query=query).read(what.takes, **({"limit": PAGE} | more | begin))
        found = visit.ask(what, asked)
        yield from found.items
        after = found.next
        if after is None:
            return
