"""The manifests of `deploy/kubernetes` fit each other, the images, the settings, the routes and the metrics.

`make check-containers` holds every field of them against the schemas of Kubernetes.
"""

from __future__ import annotations

import re
import tomllib
from importlib import import_module
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from api.app import application
from cli.roles import MAX_GRACEFUL_SECONDS
from shared import settings
from tests.fixtures.monitoring import ROOT, metric_names

FOLDER = ROOT / "deploy" / "kubernetes"
ROLES = ("api", "worker")
# The kinds that operators bring have no schema in Kubernetes: their fields, as far as they are used here.
_BEHAVIOR = "advanced.horizontalPodAutoscalerConfig.behavior.scaleDown"
FIELDS = {
    "ScaledObject": {
        *("scaleTargetRef.name", "pollingInterval", "minReplicaCount", "maxReplicaCount"),
        *(f"{_BEHAVIOR}.{name}" for name in ("stabilizationWindowSeconds", "policies.type", "policies.value")),
        f"{_BEHAVIOR}.policies.periodSeconds",
        "triggers.type",
        "triggers.metricType",
        *(f"triggers.metadata.{name}" for name in ("serverAddress", "query", "threshold", "ignoreNullValues")),
    },
    "PodMonitor": {
        "selector.matchLabels",
        *(f"podMetricsEndpoints.{name}" for name in ("port", "path", "interval")),
        *(f"podMetricsEndpoints.authorization.credentials.{name}" for name in ("name", "key")),
        *(f"podMetricsEndpoints.relabelings.{name}" for name in ("targetLabel", "replacement")),
    },
}


def _resources(*kinds: str) -> list[dict[str, Any]]:
    """Those of these kinds, in all files that are no kustomization."""
    files = [file for file in sorted(FOLDER.glob("*/*.yaml")) if file.name != "kustomization.yaml"]
    found = [resource for file in files for resource in yaml.safe_load_all(file.read_text())]
    return [resource for resource in found if resource["kind"] in kinds]


def _named(kind: str, name: str) -> dict[str, Any]:
    (resource,) = (resource for resource in _resources(kind) if resource["metadata"]["name"] == name)
    return resource


def _pod(role: str) -> dict[str, Any]:
    found: dict[str, Any] = _named("Deployment", f"asyncchat-{role}")["spec"]["template"]["spec"]
    return found


def _containers(role: str) -> list[dict[str, Any]]:
    return [*_pod(role)["initContainers"], *_pod(role)["containers"]]


def _main(role: str) -> dict[str, Any]:
    (container,) = _pod(role)["containers"]
    assert container["name"] == role
    return dict(container)


def _compose_service(role: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][role]
    return found


def test_each_folder_lists_its_files_and_no_secret() -> None:
    for folder in (FOLDER / "base", FOLDER / "autoscaling", FOLDER / "monitoring"):
        listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
        there = {file.name for file in folder.glob("*.yaml")} - {"kustomization.yaml", "secrets.example.yaml"}
        assert set(listed) == there


@pytest.mark.parametrize("role", ROLES)
def test_whatever_chooses_pods_of_a_role_chooses_these(role: str) -> None:
    deployment = _named("Deployment", f"asyncchat-{role}")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    (spread,) = deployment["template"]["spec"]["topologySpreadConstraints"]
    chosen = [deployment["selector"]["matchLabels"], spread["labelSelector"]["matchLabels"]]
    for kind, place in (
        ("PodDisruptionBudget", "selector"),
        ("NetworkPolicy", "podSelector"),
        ("PodMonitor", "selector"),
    ):
        chosen.append(_named(kind, f"asyncchat-{role}")["spec"][place]["matchLabels"])
    if role == "api":
        chosen.append(_named("Service", "asyncchat-api")["spec"]["selector"])
    assert [each for each in chosen if each != labels] == []
    assert labels["app.kubernetes.io/component"] == role


@pytest.mark.parametrize("role", ROLES)
def test_the_image_is_that_of_the_compose_file_in_this_version(role: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {container["image"] for container in _containers(role)} == {f"{_compose_service(role)['image']}:{version}"}
    example = yaml.safe_load((FOLDER / "example" / "kustomization.yaml").read_text())
    assert {(image["name"], image["newTag"]) for image in example["images"]} == {
        (f"asyncchat-{role}", version) for role in ROLES
    }


@pytest.mark.parametrize("role", ROLES)
def test_a_container_may_do_no_more_than_in_the_compose_file(role: str) -> None:
    pod = _pod(role)
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / f"Dockerfile.{role}").read_text(), flags=re.MULTILINE)
    assert user
    context = pod["securityContext"]
    assert (str(context["runAsUser"]), str(context["runAsGroup"])) == user.groups()
    assert (context["runAsNonRoot"], context["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    for container in _containers(role):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]  # noqa: S108  not used here
        assert set(container["resources"]["limits"]) == {"memory"}
    memory = {"512Mi": "512m", "1Gi": "1g"}[_main(role)["resources"]["limits"]["memory"]]
    assert memory == (_compose_service(role).get("mem_limit") or "512m")


def test_every_variable_is_a_setting() -> None:
    known = {settings._variable(name) for name in settings.Settings.model_fields}
    named = [name for each in _resources("ConfigMap", "Secret") for name in (each.get("data") or each["stringData"])]
    example = yaml.safe_load((FOLDER / "example" / "kustomization.yaml").read_text())
    named += re.findall(r"/data/(\w+)", "".join(patch["patch"] for patch in example["patches"]))
    assert len(named) >= 9
    assert set(named) <= known


def test_only_workers_get_the_models_keys_and_all_get_the_rest() -> None:
    def sources(container: dict[str, Any]) -> set[str]:
        return {ref["name"] for source in container["envFrom"] for ref in source.values()}

    for role in ROLES:
        for container in _containers(role):
            more = {"asyncchat-models"} if container["name"] == "worker" else set()
            assert sources(container) == {"asyncchat", *more}
    assert _named("Secret", "asyncchat-models")["stringData"].keys() == {"OPENAI_API_KEY"}


def test_ports_are_those_that_the_processes_listen_on() -> None:
    exposed = re.search(r"^EXPOSE (\d+)$", (ROOT / "Dockerfile.api").read_text(), flags=re.MULTILINE)
    assert exposed
    assert _main("api")["ports"] == [{"name": "http", "containerPort": int(exposed[1])}]
    metrics = int(_named("ConfigMap", "asyncchat")["data"]["ASYNCCHAT_WORKER_METRICS_PORT"])
    assert _main("worker")["ports"] == [{"name": "metrics", "containerPort": metrics}]


@pytest.mark.parametrize("role", ROLES)
def test_a_port_that_is_named_is_there(role: str) -> None:
    text = yaml.safe_dump(
        [
            _main(role),
            _named("NetworkPolicy", f"asyncchat-{role}"),
            _named("PodMonitor", f"asyncchat-{role}"),
            *(service for service in _resources("Service") if role == "api"),
        ]
    )
    (port,) = _main(role)["ports"]
    assert set(re.findall(r"(?:port|targetPort): ([a-z]\w*)", text)) == {port["name"]}


def test_probes_ask_for_routes_and_for_what_the_image_asks_itself() -> None:
    routes = {getattr(route, "path", None) for route in application(settings.Settings(_env_file=None)).routes}
    probes = {name: probe for name, probe in _main("api").items() if name.endswith("Probe")}
    assert {name: probe["httpGet"]["path"] for name, probe in probes.items()} == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    asked = {
        endpoint["path"] for monitor in _resources("PodMonitor") for endpoint in monitor["spec"]["podMetricsEndpoints"]
    }
    assert {*(probe["httpGet"]["path"] for probe in probes.values()), *asked} <= routes
    health = re.search(
        r"^HEALTHCHECK .*--timeout=(\d+)s .* CMD (\[.*\])$", (ROOT / "Dockerfile.worker").read_text(), re.MULTILINE
    )
    assert health
    for name in ("startupProbe", "readinessProbe"):
        probe = _main("worker")[name]
        assert (probe["timeoutSeconds"], probe["exec"]["command"]) == (int(health[1]), yaml.safe_load(health[2]))
    assert "livenessProbe" not in _main("worker")


def test_whoever_stops_has_the_time_that_it_takes() -> None:
    drain = settings.Settings.model_fields["drain_seconds"].default
    assert _pod("worker")["terminationGracePeriodSeconds"] >= drain + 10
    waits = _main("api")["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert _pod("api")["terminationGracePeriodSeconds"] >= waits + MAX_GRACEFUL_SECONDS + 10


@pytest.mark.parametrize("role", ROLES)
def test_the_tables_are_there_before_a_new_version_starts(role: str) -> None:
    (first,) = _pod(role)["initContainers"]
    assert first["command"] == ["asyncchat", "migrate"]
    assert _named("Deployment", f"asyncchat-{role}")["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_workers_are_counted_by_metrics_that_there_are() -> None:
    for module in ("api.metrics", "worker.metrics"):
        import_module(module)
    triggers = _named("ScaledObject", "asyncchat-worker")["spec"]["triggers"]
    asked = metric_names(trigger["metadata"]["query"] for trigger in triggers)
    assert asked == {"asyncchat_slots", "asyncchat_oldest_due_reply_age_seconds"}
    assert asked <= {metric.name for metric in REGISTRY.collect()}
    slots = settings.Settings.model_fields["slots"].default
    assert float(triggers[0]["metadata"]["threshold"]) == pytest.approx(0.7 * slots)


def test_autoscalers_move_what_there_is() -> None:
    deployments = {each["metadata"]["name"] for each in _resources("Deployment")}
    scaled = [each["spec"]["scaleTargetRef"]["name"] for each in _resources("HorizontalPodAutoscaler", "ScaledObject")]
    assert set(scaled) == deployments


def test_jobs_are_called_as_the_rules_expect_and_get_the_token() -> None:
    for role in ROLES:
        (endpoint,) = _named("PodMonitor", f"asyncchat-{role}")["spec"]["podMetricsEndpoints"]
        assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": f"asyncchat-{role}"}]
        credentials = endpoint["authorization"]["credentials"]
        assert credentials["key"] in _named("Secret", credentials["name"])["stringData"]


@pytest.mark.parametrize("kind", FIELDS)
def test_a_kind_that_an_operator_brings_has_fields_that_it_knows(kind: str) -> None:
    def fields(value: object, path: str) -> set[str]:
        if isinstance(value, list):
            return {field for item in value for field in fields(item, path)}
        if isinstance(value, dict) and not path.endswith("matchLabels"):
            return {field for name, item in value.items() for field in fields(item, f"{path}.{name}")}
        return {path.removeprefix(".")}

    for resource in _resources(kind):
        assert fields(resource["spec"], "") == FIELDS[kind]
