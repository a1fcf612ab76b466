"""The image, and the files for Compose, Kubernetes and KEDA: they run what the Procfile runs, without rights, by names
that exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]

from config.settings import Settings
from tasks.system import TARGETS, Flow

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNPRIVILEGED = 10001

#: What each process runs, by its name.
PROCFILE = dict(
    line.removesuffix("\n").split(": rollcall ", 1) for line in (ROOT / "workers" / "Procfile").open() if line.strip()
)

#: The version of Kubernetes whose schemas are asked.
KUBERNETES = "1.33"


def items(name: str) -> list[dict[str, Any]]:
    found = yaml.safe_load((DEPLOY / "kubernetes" / name).read_text())
    return list(found.get("items", [found]))


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"])


def containers(name: str = "rollcall.yaml") -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Of each workload the name of its process, its pod and its container."""
    for item in items(name):
        if "template" in item["spec"]:
            template = item["spec"]["template"]
            (container,) = template["spec"]["containers"]
            yield template["metadata"]["labels"]["process"], template["spec"], container


@pytest.mark.parametrize("name", ["rollcall.yaml", "migrate.yaml"])
def test_kubernetes_knows_each_field(name: str) -> None:
    for item in items(name):
        kubernetes_validate.validate(item, KUBERNETES, strict=True)


def test_there_is_a_workload_and_a_service_for_each_line_of_the_procfile() -> None:
    in_kubernetes = {process: " ".join(container["args"]) for process, _, container in containers()}
    in_compose = {name: " ".join(one["command"]) for name, one in compose().items() if name != "migrate"}

    assert in_kubernetes == PROCFILE
    assert in_compose == PROCFILE
    assert [container["args"] for _, _, container in containers("migrate.yaml")] == [["migrate"]]
    assert compose()["migrate"]["command"] == ["migrate"]


def test_names_select_what_they_are_meant_for() -> None:
    for item in items("rollcall.yaml"):
        if item["kind"] == "Deployment":
            process = item["spec"]["template"]["metadata"]["labels"]["process"]
            assert item["metadata"]["name"] == f"rollcall-{process}"
            assert item["spec"]["selector"]["matchLabels"] == {"process": process}
        else:
            process = item["spec"]["selector"]["process"]
            (ports,) = (one["ports"] for name, _, one in containers() if name == process)
            assert {port["targetPort"] for port in item["spec"]["ports"]} <= {port["containerPort"] for port in ports}


def test_nobody_has_rights_and_nothing_is_written_outside_of_tmp() -> None:
    for _, pod, container in [*containers(), *containers("migrate.yaml")]:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == UNPRIVILEGED
        assert not pod["automountServiceAccountToken"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]  # noqa: S108 - the container's
    for one in compose().values():
        assert (one["user"], one["read_only"], one["cap_drop"]) == (f"{UNPRIVILEGED}:{UNPRIVILEGED}", True, ["ALL"])
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert one["restart"] == ("no" if one["command"] == ["migrate"] else "always")
    last = (DEPLOY / "container" / "Containerfile").read_text().rpartition("\nFROM ")[2]
    assert f"\nUSER {UNPRIVILEGED}:{UNPRIVILEGED}\n" in last
    assert '\nENTRYPOINT ["rollcall"]\n' in last


def test_settings_and_probes_are_those_that_there_are() -> None:
    known = {name.upper() for name in Settings.model_fields}
    for process, pod, container in containers():
        set_ = {one["name"]: one["value"] for one in container["env"]}
        probes = {container[kind]["httpGet"]["path"] for kind in ("livenessProbe", "readinessProbe")}
        assert set_.keys() <= known
        assert probes == {"/livez", "/readyz"}
        answers = set_["ROLLCALL_WEB_PORT" if process == "web" else "ROLLCALL_PROBE_PORT"]
        assert {str(container[kind]["httpGet"]["port"]) for kind in ("livenessProbe", "readinessProbe")} == {answers}
        assert pod["terminationGracePeriodSeconds"] > Settings().rollcall_drain_seconds
    for name, one in compose().items():
        assert one["environment"].keys() <= known
        if name != "migrate":
            asked = re.search(r"127\.0\.0\.1:(\d+)/livez", " ".join(one["healthcheck"]["test"]))
            assert asked
            answers = one["environment"]["ROLLCALL_WEB_PORT" if name == "web" else "ROLLCALL_PROBE_PORT"]
            assert asked[1] == answers
        assert float(one["stop_grace_period"].removesuffix("s")) > Settings().rollcall_drain_seconds


def test_pools_are_scaled_to_the_targets_of_the_advice() -> None:
    asked = {}
    for item in items("keda.yaml"):
        (trigger,) = item["spec"]["triggers"]
        said = re.fullmatch(r'max\(rollcall_work_oldest_due_seconds{queue="(\w+)"}\)', trigger["metadata"]["query"])
        assert said
        assert item["metadata"]["name"] == item["spec"]["scaleTargetRef"]["name"] == f"rollcall-{said[1]}"
        assert trigger["metricType"] == "Value"
        asked[Flow(said[1])] = float(trigger["metadata"]["threshold"])
    assert asked == TARGETS
    scaled = {item["spec"]["scaleTargetRef"]["name"] for item in items("keda.yaml")}
    fixed = {
        item["metadata"]["name"]
        for item in items("rollcall.yaml")
        if item["kind"] == "Deployment" and "replicas" in item["spec"]
    }
    assert not scaled & fixed, "who scales a pool is not contradicted each time the file is applied"


def test_the_image_is_made_of_what_is_pinned_and_holds_no_servers() -> None:
    said = (DEPLOY / "container" / "Containerfile").read_text()
    extras = (ROOT / "pyproject.toml").read_text()
    embedded = re.findall(r'"([\w-]+)>=', re.search(r"^embedded = \[(.*)\]", extras, re.M)[1])  # type: ignore[index]

    assert len(embedded) == 2
    assert all(name in re.search(r"uninstall --yes (.*)", said)[1].split() for name in embedded)  # type: ignore[index]
    assert "--require-hashes --only-binary :all: -r constraints.txt" in said
    for options in re.findall(r"pip .*?install (.*)", said):
        assert "--require-hashes" in options or "--no-index" in options or "--yes" in options
