"""`rollcall explain`: why something is as it is, from the event that caused it to every effect."""

from typing import Annotated

import typer

from tasks.acts import explaining as acts
from workers.commands.common import Json, Org, document, done, out, table


def explain(
    organisation: Org,
    learner: Annotated[str | None, typer.Argument(metavar="[LEARNER]", help="The platform's id of a learner.")] = None,
    course: Annotated[
        str | None, typer.Option(metavar="ID", help="Why the learner has access to this course, or has not.")
    ] = None,
    announcement: Annotated[
        str | None, typer.Option(metavar="ID", help="Why this announcement went to the learner, or did not.")
    ] = None,
    entry: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Why this entry of `rollcall seats ledger` was charged.")
    ] = None,
    json_: Json = False,
) -> None:
    """Say why: what happened to a learner and what came of it, in the order of time, with the rules.

    With --course why they have access to it or not, with --announcement why they got no mail; with --entry, and no
    learner, why a seat or credits were charged.
    """
    if (learner is None) == (entry is None):
        raise typer.BadParameter("name a learner, or an --entry")
    if entry is not None:
        found = done(acts.entry, acts.EntryExplained(entry), organisation)
    else:
        found = done(acts.learner, acts.LearnerExplained(learner or "", course, announcement), organisation)
    if json_:
        document(found)
        return
    out.print(f"{found.about}: ", style="bold", markup=False, end="")
    by = f" ({', '.join(found.rules)})" if found.rules else ""
    out.print(f"{found.answer}{by}.", markup=False)
    out.print()
    table(
        ["when", "what", "course", "of", "because of", "by rule"],
        [[s.at, s.what, s.course, s.subject, s.detail, s.rules] for s in found.steps],
        "Nothing is known.",
    )
    for what, why in {step.what: step.why for step in found.steps}.items():
        out.print(f"{what}: {why}.", markup=False)
