"""The page of the packages that run with Rollcall and of their licences: `python -m workers.dependencies` writes it.

It is read from what is installed, as `constraints.txt` pins it.
"""

import re
from importlib.metadata import Distribution, distribution, requires
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "dependencies.md"

_HEAD = """# Dependencies and their licences

`make dependencies` writes this page from the packages that `constraints.txt` pins. "Asked for by" is Rollcall, or the
packages that need it. The packages of `constraints-dev.txt` alone build and test Rollcall; they are not part of it.

| package | version | licence | asked for by |
| --- | --- | --- | --- |
"""


def normal(name: str) -> str:
    """A package's name as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> list[str]:
    """The packages that run, in the order of their names."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return sorted(normal(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE))


def licence_of(package: Distribution) -> str:
    """The licence that a package names: as an expression (PEP 639), by classifiers, in words, or by its text.

    Raises:
        LookupError: it names none.
    """
    said = package.metadata
    one = {name: said.get_all(name, [""])[0] for name in ("Name", "License-Expression", "License")}
    classifiers = [line for line in said.get_all("Classifier", []) if line.startswith("License :: ")]
    texts = [Path(str(file.locate())) for file in package.files or [] if re.search(r"licen[cs]e", file.name, re.I)]
    names: list[str] = [
        one["License-Expression"],
        ", ".join(line.rsplit(" :: ", 1)[1] for line in classifiers if not line.endswith("OSI Approved")),
        *one["License"].splitlines()[:1],
        *(text.read_text(encoding="utf-8").strip().splitlines()[0] for text in texts),
    ]
    if not any(names):
        raise LookupError(f"{one['Name']} names no licence")
    return next(filter(None, names))


def _asking(name: str, others: list[str], *, extras: bool) -> list[str]:
    """The packages that need this one, always or with one of their extras."""
    return [
        other
        for other in others
        for line in requires(other) or []
        if normal(re.split(r"[^A-Za-z0-9._-]", line)[0]) == name and ("extra ==" in line) == extras
    ]


def page() -> str:
    """The text of the page."""
    names, rows = pinned(), []
    for name in names:
        package = distribution(name)
        ours = _asking(name, ["rollcall"], extras=False) or _asking(name, ["rollcall"], extras=True)
        asking = ours or _asking(name, names, extras=False) or _asking(name, names, extras=True)
        by = "Rollcall" if ours else ", ".join(dict.fromkeys(asking))
        rows.append(f"| {name} | {package.version} | {licence_of(package)} | {by} |\n")
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
