"""The page on failover shows what is tried."""

from pathlib import Path
from textwrap import indent

from tests.failover.cluster import HAPROXY

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "failover.md"


def test_the_page_on_failover_shows_the_settings_of_haproxy_that_are_tried() -> None:
    shown = indent(HAPROXY.format(port=5432), "   ")

    assert shown in PAGE.read_text(encoding="utf-8")
