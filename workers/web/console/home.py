"""The way in: the organisations that somebody may see, and how they read."""

from tasks.acts import organisations
from tasks.acts.paging import PageAsked
from workers.web.console.languages import LANGUAGES, THEMES, zones
from workers.web.console.visits import Gone, Shown, Visit, page

#: Where the first page of an organisation is.
FIRST = "users"


@page("GET ")
def home(visit: Visit) -> Gone:
    """Go where there is something to do: to the one organisation that there is, or to the list of them."""
    found = visit.ask(organisations.list_, PageAsked(limit=2)).items
    if len(found) == 1:
        return Gone(visit.top("organisations", found[0].organisation, FIRST))
    return Gone(visit.top("organisations"))


@page("GET organisations", needs=organisations.list_)
def list_organisations(visit: Visit) -> Shown:
    """The organisations to choose from."""
    found = visit.ask(organisations.list_, visit.read(PageAsked))
    return Shown("organisations", {"organisations": found.items, "next": found.next})


@page("GET organisations/{organisation}", needs=organisations.list_)
def organisation(visit: Visit) -> Gone:
    """The first page of an organisation."""
    return Gone(visit.url(FIRST))


@page("GET preferences")
def preferences(_visit: Visit) -> Shown:
    """How somebody reads."""
    return Shown("preferences", {"zones": zones(), "themes": THEMES})


@page("POST preferences")
def prefer(visit: Visit) -> Gone:
    """Keep what was chosen, and go back."""
    back = visit.said("back")
    inside = back.startswith((f"{visit.base}/", f"{visit.base}?")) and "\\" not in back
    chosen = {"language": [*LANGUAGES], "theme": [*THEMES], "zone": ["UTC", *zones()]}
    kept = {f"rollcall-{name}": visit.said(name) for name, known in chosen.items() if visit.said(name) in known}
    return Gone(back if inside else visit.top("preferences"), cookies=kept)
