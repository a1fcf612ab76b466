"""Plots: drawn to scale, with their numbers in a table, and nothing in them but text, whatever it is called."""

import re
import xml.etree.ElementTree as ET

import pytest

from workers.web.console.languages import Reading
from workers.web.console.plots import Series, bars, line, sparkline

HERE = Reading("en")
HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\u202e\u2066evil", "{0} %s {x}", "W" * 300]


def read(plot: str) -> ET.Element:
    """A plot as a browser has it: it is well-formed, or this raises."""
    return ET.fromstring(plot)  # noqa: S314 - it is ours


def table(plot: str) -> list[list[str]]:
    return [["".join(cell.itertext()) for cell in row] for row in read(plot).iter("tr")]


def test_a_line_is_drawn_to_scale_and_broken_where_nothing_is_known() -> None:
    plot = line(
        HERE, "Started", "Day", ["1 Jan", "2 Jan", "3 Jan", "4 Jan", "5 Jan"], [Series("a", [0, 30, None, 15, 30])]
    )
    path = next(found for found in read(plot).iter("path"))

    assert path.get("d") == "M0 100h0L25 0M75 50h0L100 0"
    assert [text.text for text in read(plot).iter("text")][:4] == ["0", "10", "20", "30"]


def test_the_table_has_each_number_and_says_what_is_not_known() -> None:
    series = [Series("Started", [1234567, None]), Series("Completed", [0, 2])]

    assert table(line(HERE, "Progress", "Day", ["1 Jan", "2 Jan"], series)) == [
        ["Day", "Started", "Completed"],
        ["1 Jan", "1,234,567", "0"],
        ["2 Jan", "–", "2"],
    ]
    assert table(bars(HERE, "Progress", "Course", ["A", "B"], series))[1] == ["A", "1,234,567", "0"]


@pytest.mark.parametrize("top", [0, 1, 2, 3, 7, 99, 100, 101, 12_345, 10_000_000])
def test_the_scale_holds_the_highest_in_few_round_steps(top: int) -> None:
    plot = line(HERE, "t", "Day", ["a", "b"], [Series("s", [0, top])])
    ticks = [int((text.text or "").replace(",", "")) for text in [*read(plot).iter("text")][:-2]]

    assert ticks[0] == 0
    assert top <= ticks[-1] <= max(2 * top, 1)
    assert len(ticks) <= 6
    assert re.fullmatch("[125]0*", str(ticks[1]))


@pytest.mark.parametrize("labels", [[], ["only"]])
def test_little_to_show_is_shown(labels: list[str]) -> None:
    series = [Series("s", [4] * len(labels))]

    assert len(table(line(HERE, "t", "Day", labels, series))) == 1 + len(labels)
    assert len(table(bars(HERE, "t", "Course", labels, series))) == 1 + len(labels)


def test_bars_are_as_long_as_their_numbers() -> None:
    plot = bars(HERE, "t", "Course", ["a", "b", "c"], [Series("s", [50, 200, 0]), Series("more", [None, 100, 1])])
    long = [rect.get("width") for rect in read(plot).iter("rect")]

    assert long == ["25%", "0%", "100%", "50%", "0%", "0.5%"]


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_something_is_called_it_is_text(name: str) -> None:
    series = [Series(name, [1]), Series("b", [2])]
    for plot in (line(HERE, name, name, [name], series), bars(HERE, name, name, [name], series)):
        tags = {element.tag for element in read(plot).iter()}
        assert tags.isdisjoint({"script", "img", "style"})
        assert not [name for one in read(plot).iter() for name in one.attrib if name.startswith(("on", "style"))]
        assert table(plot)[1][0] == name, "the table has the whole of it"
        assert max(len("".join(text.itertext())) for text in read(plot).iter("text")) <= 48
    assert read(sparkline(HERE, name, [1])).get("aria-label", "").startswith(name)


def test_a_sparkline_says_what_it_shows() -> None:
    assert read(sparkline(HERE, "Queue", [3, None, 1200])).get("aria-label") == "Queue: now 1,200, between 3 and 1,200"
    assert read(sparkline(HERE, "Queue", [])).get("aria-label") == "Queue: no numbers yet"
    french = sparkline(Reading("fr"), "t", [0, 0])
    assert read(french)[0].get("d") == "M0 100h0L100 100"
