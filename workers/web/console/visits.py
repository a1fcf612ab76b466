"""What a page of the console is made of: how one is declared, and what it knows of the visit it answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from config.runtime import Runtime
from tasks.accounts import Caller, permits
from tasks.acts import Act, perform
from tasks.acts.paging import Stream
from tasks.organisations import Organisation
from workers.web.api import reading
from workers.web.console.languages import Reading
from workers.web.console.uploading import SentFile

Asked = TypeVar("Asked")
Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Shown:
    """A page to show: a template, and what it says. `frames`: whether it shows pages of ours in frames."""

    template: str
    said: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    frames: bool = False


@dataclass(frozen=True, slots=True)
class Framed:
    """A document that is not ours, for a frame of one of our pages, where it can do nothing."""

    html: str


@dataclass(frozen=True, slots=True)
class Undo:
    """A form that does the reverse of what was just done: where it is sent, and its fields."""

    to: str
    fields: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Gone:
    """Somewhere else to go once a form is done; `flash`: what is said there, once, with what undoes it; `cookies`: what
    was chosen."""

    to: str
    flash: str = ""
    undo: Undo | None = None
    cookies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConsolePage:
    """A page: `parts` are the segments of its path, those in braces are fields. Whoever may do `needs` may see it; None
    is for everybody who is signed in. `section`: where in the navigation it is. `live`: a question that costs little,
    whose answer is another if the page would say something else: it is told so (`changes`). `exports`: it answers a
    `Stream`. `uploads`: its form has a file."""

    method: str
    parts: tuple[str, ...]
    does: "Does"
    needs: Act[Any, Any] | None
    section: str
    live: "Callable[[Visit], object] | None" = None
    exports: bool = False
    uploads: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """An entry of the navigation, below an organisation or, if it is about the `whole` installation, below the console.
    `title`: as in the catalogues."""

    name: str
    title: str
    needs: Act[Any, Any]
    whole: bool = False


#: What has been declared: pages, and sections, whose order is that of `NAVIGATION`.
PAGES: list[ConsolePage] = []
SECTIONS: list[Section] = []

#: The sections in the order of the navigation, and those that stand behind all others.
NAVIGATION = ("users", "enrolments", "segments", "announcements", "reports", "seats", "imports")
LAST = ("technical", "system")


def navigation() -> list[Section]:
    """The sections in the order of the navigation."""
    known = (*NAVIGATION, "", *LAST)
    places = {name: place for place, name in enumerate(known)}
    return sorted(SECTIONS, key=lambda one: places.get(one.name, places[""]))


def page(
    route: str,
    *,
    needs: Act[Any, Any] | None = None,
    section: str = "",
    live: "Callable[[Visit], object] | None" = None,
    exports: bool = False,
    uploads: bool = False,
) -> "Callable[[Does], Does]":
    """Declare a page, `GET organisations/{organisation}/users`. Pages without a field at a place are found first."""
    method, _, path = route.partition(" ")

    def declare(does: "Does") -> "Does":
        PAGES.append(ConsolePage(method, tuple(path.split("/")), does, needs, section, live, exports, uploads))
        PAGES.sort(key=lambda one: [part.startswith("{") for part in one.parts])
        return does

    return declare


def without_command(says: str) -> str:
    """What is wrong, without the command that mends it: whoever reads it here has a button."""
    return says.partition(" Do this: rollcall ")[0]


@dataclass(frozen=True)
class Visit:
    """Somebody who opens a page, or sends a form of one. `base`: the path of the console; `here`: this page's;
    `session`: what the session is called among the caller's own."""

    runtime: Runtime
    caller: Caller
    reader: Reading
    base: str
    here: str
    path: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    fields: Sequence[tuple[str, str]]
    organisation: Organisation | None = None
    file: SentFile | None = None
    session: str = ""
    told: dict[object, Any] = field(default_factory=dict)

    def once(self, what: Act[Asked, Told], asked: Asked) -> Told:
        """Ask what looks and changes nothing, once in a visit: a page is made of the answer by which it is followed."""
        key = (what.name, asked)
        if key not in self.told:
            self.told[key] = self.ask(what, asked)
        found: Told = self.told[key]
        return found

    def ask(self, what: Act[Asked, Told], asked: Asked, *, expected: str | None = None) -> Told:
        """Do an act, as any other door does. `expected`: the tag of what it is to change."""
        return perform(self.runtime, self.caller, what, asked, self.path.get("organisation"), expected=expected)

    def may(self, *acts: str) -> bool:
        """Whether the caller may do these, so that it is worth offering them."""
        return all(permits(self.caller, one, self.path.get("organisation")) for one in acts)

    def read(self, kind: type[Asked], **more: object) -> Asked:
        """What is asked, out of the query: fields that are not an act's are the page's own, and empty ones are none.
        Raises `Invalid`."""
        known = reading.fields_of(kind)
        pairs = [(name, value) for name, value in self.query if name in known and name not in more and value]
        found: Asked = reading.read(kind, known, {}, {**reading.in_pairs(pairs, known), **more}, strict=False)
        return found

    def said(self, name: str, default: str = "") -> str:
        """A field of the form, or of the query."""
        return next((value for known, value in (*self.fields, *self.query) if known == name), default)

    def all_said(self, name: str) -> list[str]:
        """Each value of a field of the form, once."""
        return list(dict.fromkeys(value for known, value in self.fields if known == name and value))

    def back(self, own: str, *others: str) -> str:
        """The page of ours that somebody came from: `own`, or one that begins like one of the others; else `own`."""
        said = self.said("back")
        return said if said == own or said.startswith(others) else own

    def url(self, *parts: str, **query: object) -> str:
        """A page below the organisation's or, where there is none, the console's. What is None or empty is left out."""
        organisation = self.path.get("organisation")
        whole = parts if organisation is None else ("organisations", organisation, *parts)
        return self.top(*whole, **query)

    def again(self, **query: object) -> str:
        """This page from its beginning, with another part of its query."""
        gone = {"after", "trail", *query}
        kept = [(name, value) for name, value in self.query if name not in gone and value]
        kept += [(name, str(value)) for name, value in query.items() if value not in (None, "")]
        return self.here.partition("?")[0] + (f"?{urlencode(kept)}" if kept else "")

    def top(self, *parts: str, **query: object) -> str:
        """A page of the console."""
        path = "/".join([self.base, *(quote(part, safe="") for part in parts)])
        kept = {name: value for name, value in query.items() if value not in (None, "")}
        return path + (f"?{urlencode(kept, doseq=True)}" if kept else "")


#: What answers a page.
Does = Callable[[Visit], Shown | Gone | Framed | Stream]
