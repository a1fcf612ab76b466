"""Plots as SVG: a line over time, bars, a sparkline. Each has a table of what it shows, for screen readers and for
whoever wants the numbers. Looks are classes of the stylesheet: the policy of content allows nothing in the page itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Literal

from markupsafe import Markup

from workers.web.console.languages import Reading

#: Pixels: of a line plot, of the space above its highest line and below its lowest.
TALL, HEAD, FOOT = 220, 18, 24

#: Pixels: of a bar, of what the label of bars takes, and between two groups of them.
BAR, LABEL, GAP = 12, 22, 10

#: Letters of a label beside a bar at most; the table has the whole of it.
LETTERS = 48

#: Lines across a plot at least, so that one can read it; labels below it.
TICKS, DATES = 3, 5


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or one bar of each group. `values`: as many as there are labels; None: not known, a gap. `look`: plain,
    what is not to be passed, or what is only expected."""

    name: str
    values: Sequence[float | None]
    look: Literal["plain", "limit", "forecast"] = "plain"


def line(reader: Reading, title: str, along: str, labels: Sequence[str], series: Sequence[Series]) -> Markup:
    """Lines over what the labels say in the reader's language: mostly times, so that `along` is "Day"."""
    ticks = _ticks(series)
    top = ticks[-1]
    across = len(labels) - 1 or 1
    grid = Markup("").join(
        Markup(
            '<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"/><text x="0" y="{1}" class="axis">{2}</text>'
        ).format(y := _down(tick, top), y - 4, reader.number(tick))
        for tick in ticks
    )
    drawn = Markup("").join(
        Markup('<path class="{}" d="{}"/>').format(_class(n, one), _path(one.values, across, top))
        for n, one in enumerate(series)
    )
    shown = sorted({round(n * across / (DATES - 1)) for n in range(DATES)} & {*range(len(labels))})
    below = Markup("").join(
        Markup('<text x="{}%" y="{}" class="axis {}{}">{}</text>').format(
            _short(100 * n / across),
            TALL - 6,
            _anchor(n, len(labels)),
            "" if n in {0, across} else " minor",
            _cut(labels[n]),
        )
        for n in shown
    )
    # What a pointer finds out: a strip for each label, which says its numbers.
    strips = Markup("").join(
        Markup('<rect class="strip" x="{}%" width="{}%" height="{}"><title>{}</title></rect>').format(
            _short(100 * (n - 0.5) / across), _short(100 / across), TALL, _says(reader, label, series, n)
        )
        for n, label in enumerate(labels)
    )
    inner = Markup('<svg y="{}" width="100%" height="{}" viewBox="0 0 100 100" preserveAspectRatio="none">{}</svg>')
    inside = grid + inner.format(HEAD, TALL - HEAD - FOOT, drawn) + below + strips
    return _figure(reader, title, along, labels, series, inside, TALL)


def bars(reader: Reading, title: str, along: str, labels: Sequence[str], series: Sequence[Series]) -> Markup:
    """A group of bars for each label, the first above; `along`: what the labels are, "Course"."""
    top = max((value for one in series for value in one.values if value is not None), default=0) or 1
    group = LABEL + BAR * len(series) + GAP
    inside = Markup("")
    for n, label in enumerate(labels):
        values = " · ".join(_number(reader, one.values[n]) for one in series)
        inside += Markup('<text y="{0}" class="name">{1}</text><text x="100%" y="{0}" class="value">{2}</text>').format(
            n * group + LABEL - 6, _cut(label), values
        )
        for m, one in enumerate(series):
            inside += Markup('<rect class="{}" y="{}" height="{}" width="{}%"/>').format(
                _class(m, one), n * group + LABEL + m * BAR, BAR - 2, _short(100 * max(one.values[n] or 0, 0) / top)
            )
    return _figure(reader, title, along, labels, series, inside, group * len(labels) or 1)


def sparkline(reader: Reading, title: str, values: Sequence[float | None]) -> Markup:
    """A line as small as a word, which says in words what it shows: the last, the lowest and the highest."""
    known = [value for value in values if value is not None]
    says = reader.words.gettext("no numbers yet")
    if known:
        says = reader.words.gettext("now {last}, between {lowest} and {highest}").format(
            last=reader.number(known[-1]), lowest=reader.number(min(known)), highest=reader.number(max(known))
        )
    drawn = _path(values, len(values) - 1 or 1, max(known, default=0) or 1)
    return Markup(
        '<svg class="sparkline" role="img" aria-label="{}" viewBox="0 -8 100 116" preserveAspectRatio="none">'
        '<path class="series-1" d="{}"/></svg>'
    ).format(f"{title}: {says}", drawn)


def _figure(
    reader: Reading, title: str, along: str, labels: Sequence[str], series: Sequence[Series], inside: Markup, tall: int
) -> Markup:
    legend = Markup("").join(
        Markup(
            '<li><svg class="swatch" aria-hidden="true"><line class="{}" y1="6" x2="24" y2="6"/></svg>'
            " <bdi>{}</bdi></li>"
        ).format(_class(n, one), one.name)
        for n, one in enumerate(series)
    )
    head = Markup("").join(Markup('<th scope="col"><bdi>{}</bdi></th>').format(one.name) for one in series)
    body = Markup("").join(
        Markup('<tr><th scope="row"><bdi>{}</bdi></th>{}</tr>').format(
            label, Markup("").join(Markup("<td>{}</td>").format(_number(reader, one.values[n])) for one in series)
        )
        for n, label in enumerate(labels)
    )
    words = reader.words
    return Markup(
        '<figure class="plot"><figcaption><bdi>{0}</bdi><ul class="legend">{1}</ul></figcaption>'
        '<svg role="img" aria-label="{2}" width="100%" height="{3}">{4}</svg>'
        '<details><summary>{5}<span class="unseen">: <bdi>{0}</bdi></span></summary><table class="figures">'
        '<caption class="unseen"><bdi>{0}</bdi></caption><thead><tr><th scope="col">{6}</th>{7}</tr></thead>'
        "<tbody>{8}</tbody></table></details></figure>"
    ).format(
        title,
        legend,
        words.gettext("{title}. The numbers are in the table that follows.").format(title=title),
        tall,
        inside,
        words.gettext("As a table"),
        along,
        head,
        body,
    )


def _ticks(series: Sequence[Series]) -> list[int]:
    """Where lines go across: round numbers from 0 to what is at least the highest value."""
    top = max((value for one in series for value in one.values if value is not None), default=0)
    size = 10 ** floor(log10(max(top / TICKS, 1)))
    step = next(times * size for times in (1, 2, 5, 10) if times * size * (TICKS + 1) >= top)
    return [*range(0, max(int(-(-top // step)), 1) * step + 1, step)]


def _path(values: Sequence[float | None], across: int, top: float) -> str:
    """A line through these, in a square of 100; it is broken where nothing is known. A point alone is a dot."""
    parts, broken = list[str](), True
    for n, value in enumerate(values):
        if value is not None:
            here = f"{_short(100 * n / across)} {_short(100 - 100 * value / top)}"
            parts.append(f"M{here}h0" if broken else f"L{here}")
        broken = value is None
    return "".join(parts)


def _down(tick: float, top: float) -> float:
    return round(HEAD + (TALL - HEAD - FOOT) * (1 - tick / top), 1)


def _says(reader: Reading, label: str, series: Sequence[Series], n: int) -> str:
    said = [f"{one.name} {_number(reader, one.values[n])}" for one in series if one.values[n] is not None]
    return f"{label}: {', '.join(said)}"


def _class(n: int, one: Series) -> str:
    return f"series-{n + 1}" if one.look == "plain" else one.look


def _anchor(n: int, labels: int) -> str:
    return "first" if n == 0 else "last" if n == labels - 1 else "middle"


def _number(reader: Reading, value: float | None) -> str:
    return "–" if value is None else reader.number(value)


def _cut(label: str) -> str:
    return label if len(label) <= LETTERS else f"{label[: LETTERS - 1]}…"


def _short(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
