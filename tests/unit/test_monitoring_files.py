"""The dashboard, the alerts and the scrape configuration fit each other, the compose file and the pages."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import REGISTRY

from api.problems import CATALOGUE
from tests.fixtures.monitoring import ROOT, alerts, dashboard, metric_names

DATA_SOURCES = ROOT / "deploy" / "grafana" / "provisioning" / "datasources" / "prometheus.yml"


def _compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def test_every_alert_says_what_happened_and_how_bad_it_is_and_has_its_page() -> None:
    section = (ROOT / "docs" / "operations.md").read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
    pages = re.findall(r"^### (\w+)\n", section, flags=re.MULTILINE)
    assert [rule["alert"] for rule in alerts()] == pages
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"].endswith(".")


def test_every_page_of_an_alert_says_how_to_look_and_what_to_do() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    for name in [rule["alert"] for rule in alerts()]:
        page = re.split(r"\n##", text.partition(f"### {name}\n")[2])[0]
        assert "*Look*:" in page, name
        assert "*Do*:" in page, name


def test_alerts_name_codes_that_there_are() -> None:
    (expression,) = (rule["expr"] for rule in alerts() if rule["alert"] == "ClientsRefused")
    (codes,) = re.findall(r'code=~"([^"]+)"', expression)
    assert set(codes.split("|")) <= set(CATALOGUE)


def test_a_bound_of_an_alert_is_one_of_its_histogram() -> None:
    """Between two of them Prometheus guesses: what takes eleven seconds may then be told as thirty."""
    for module in ("api.metrics", "worker.metrics"):
        import_module(module)
    quantile = re.compile(r"histogram_quantile\(.*\b(\w+)_bucket\b.* > (\d+)", re.DOTALL)
    found = {name: float(bound) for rule in alerts() for name, bound in quantile.findall(rule["expr"])}
    assert len(found) == 3
    for name, bound in found.items():
        assert bound in REGISTRY._names_to_collectors[name]._upper_bounds, name  # type: ignore[attr-defined]


def test_the_jobs_are_called_as_the_rules_and_the_dashboard_expect() -> None:
    jobs = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    named = {job["job_name"]: job.get("dns_sd_configs", [{}])[0] for job in jobs}
    port = int(_compose()["x-environment"]["ASYNCCHAT_WORKER_METRICS_PORT"])
    assert (named["asyncchat-api"]["names"], named["asyncchat-api"]["port"]) == (["api"], 8000)
    assert (named["asyncchat-worker"]["names"], named["asyncchat-worker"]["port"]) == (["worker"], port)


def test_every_panel_asks_the_source_that_is_provisioned() -> None:
    (source,) = yaml.safe_load(DATA_SOURCES.read_text())["datasources"]
    panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {source["uid"]}


def test_panels_that_the_pages_name_are_there() -> None:
    section = (ROOT / "docs" / "operations.md").read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
    titles = {panel["title"] for panel in dashboard()["panels"]}
    named = set(re.findall(r"\*([A-Z][\w ]+)\*", section)) - {"Look", "Do"}
    assert named
    assert named <= titles


def test_what_the_profile_mounts_is_there_and_its_ports_are_this_machines_own() -> None:
    services = {
        name: service for name, service in _compose()["services"].items() if service.get("profiles") == ["monitoring"]
    }
    assert set(services) == {"prometheus", "grafana"}
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", service["image"])
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        for source in [volume.split(":")[0] for volume in service["volumes"] if volume.startswith("./")]:
            assert Path(ROOT / source).is_dir()


def test_a_name_is_found_wherever_it_stands_in_an_expression() -> None:
    expression = 'sum by (le) (rate(asyncchat_a_bucket{job=~"asyncchat-.*"}[5m])) / max(process_open_fds) > up'
    assert metric_names([expression]) == {"asyncchat_a_bucket", "process_open_fds"}
    assert json.dumps(dashboard())
