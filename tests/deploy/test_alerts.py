"""What watches an installation asks for metrics that exist, and each alert fires and says what to do."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from config.database import transaction
from tasks import fleet, retention
from tasks.system import in_database, in_redis, streams
from tests.world import World
from workers.web.metrics import CountedByAll, Numbers

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
TESTS = RULES.with_name("alerts_test.yml")
DASHBOARD = ROOT / "deploy" / "grafana" / "rollcall.json"
PROMTOOL = ROOT / ".prometheus" / "usr" / "bin" / "promtool"

#: A metric in an expression, and what is asked of its labels; labels that are grouped by, or named in a text.
METRIC = re.compile(r"\b(rollcall_\w+)(?:\{([^}]*)\})?")
ASKED = re.compile(r'(\w+)\s*(=~|=|!=|!~)\s*"([^"]*)"')
GROUPED = re.compile(r"\bby \(([^)]*)\)")
TOLD = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")


def alerts() -> list[dict[str, Any]]:
    """Every rule."""
    return [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def expressions() -> dict[str, str]:
    """Every expression, with the texts that name its labels behind it, by where it stands."""
    found = {rule["alert"]: rule["expr"] + " " + rule["annotations"]["summary"] for rule in alerts()}
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", []):
            found[f"{panel['title']} {target['refId']}"] = f"{target['expr']} {target['legendFormat']}"
    return found


@pytest.fixture
def series(world: World) -> dict[str, dict[str, set[str]]]:
    """Every metric that /metrics shows, with its labels and their values."""
    world.has_learners("A")
    world.redis.xgroup_create("rollcall:out", "billing", mkstream=True)
    with transaction(world.runtime.engine) as connection:
        counted = CountedByAll(fleet.processes(connection), fleet.counted(connection), retention.partitions(connection))
    numbers = Numbers(
        in_database(world.runtime), in_redis(world.runtime, world.redis), streams(world.runtime, world.redis), counted
    )
    found: dict[str, dict[str, set[str]]] = {}
    for sample in (sample for metric in numbers.collect() for sample in metric.samples):
        labels = found.setdefault(sample.name, {})
        for label, value in sample.labels.items():
            labels.setdefault(label, set()).add(value)
    return found


def test_every_metric_and_label_that_is_asked_for_exists(series: dict[str, dict[str, set[str]]]) -> None:
    wrong, used = [], set()
    for where, text in expressions().items():
        metrics = METRIC.findall(text)
        used |= {name for name, _ in metrics}
        known = {label for name, _ in metrics for label in series.get(name, {})}
        asked = [one.strip() for group in GROUPED.findall(text) for one in group.split(",")] + TOLD.findall(text)
        wrong += [(where, label) for label in asked if label not in known]
        for name, selector in metrics:
            if name not in series:
                wrong.append((where, name))
                continue
            for label, how, value in ASKED.findall(selector):
                values = series[name].get(label, set())
                fits = (re.fullmatch(value, one) for one in values) if "~" in how else (value == one for one in values)
                if not any(fits):
                    wrong.append((where, f"{name}.{label}={value}"))

    assert wrong == []
    assert len(expressions()) > 40
    assert len(used) > 25


def test_each_alert_says_what_to_do_and_is_tested() -> None:
    names = [rule["alert"] for rule in alerts()]
    pages = {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    tested = [test["name"] for test in yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]]

    assert names == tested, "each has a test, in their order"
    assert pages == {*names}
    for rule in alerts():
        page = (ROOT / rule["annotations"]["runbook"]).read_text(encoding="utf-8")
        assert page.startswith(f"# {rule['alert']}\n")
        assert [f"## {part}" in page for part in ("What it means", "Look", "Do")] == [True] * 3
        assert rule["labels"]["severity"] in {"page", "ticket"}


@pytest.mark.serves
def test_each_alert_fires_of_what_it_is_about() -> None:
    if not PROMTOOL.exists():
        pytest.skip("there is no promtool: .ci/prometheus unpacks it from Debian's package")
    for command in (["check", "rules", RULES.name], ["test", "rules", TESTS.name]):
        done = subprocess.run(
            [PROMTOOL, *command], cwd=RULES.parent, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
