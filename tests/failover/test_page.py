"""The page on failover shows what is tried."""

import re
from pathlib import Path
from textwrap import indent

from config.engine import GIVEN_UP
from tests.failover.cluster import HAPROXY

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "failover.md"


def test_the_page_on_failover_shows_the_settings_of_haproxy_that_are_tried() -> None:
    shown = indent(HAPROXY.format(port=5432), "   ")

    assert shown in PAGE.read_text(encoding="utf-8")


def test_it_says_how_soon_a_host_that_is_cut_off_is_given_up() -> None:
    idle, longest = GIVEN_UP["tcp_keepalives_idle"], GIVEN_UP["tcp_user_timeout"] // 1000
    probes = GIVEN_UP["tcp_keepalives_count"] * GIVEN_UP["tcp_keepalives_interval"]

    assert (idle, longest, idle + probes) == (3, 7, 7)
    said = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert "after three seconds of silence whether it is still there, and ends it after seven" in said
    (advised,) = re.findall(r"\?options=-c%20(\w+)%3D", said)
    assert advised == "tcp_user_timeout", "tcp(7): it overrides what probes alone would decide"
