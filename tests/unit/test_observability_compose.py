"""The Compose file: pinned images, least rights, and nothing that listens beyond the loopback interface."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.observability.source.docs import DOCS_URL

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "observability"
COMPOSE = FOLDER / "compose.yaml"
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
PINNED = re.compile(r"docker\.io/[\w/]+:v?\d+\.\d+\.\d+")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_and_has_least_rights(name: str) -> None:
    service = SERVICES[name]
    assert PINNED.fullmatch(service["image"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service["user"].startswith("0")
    assert not {"privileged", "cap_add", "ports", "pid", "devices"} & set(service)


@pytest.mark.parametrize("name", SERVICES)
def test_a_bind_mount_is_of_this_folder_read_only_and_labelled(name: str) -> None:
    binds = [volume for volume in SERVICES[name]["volumes"] if volume.startswith((".", "/"))]
    assert binds == [f"./{name}:/etc/opslab:ro,z"]
    assert (FOLDER / name / "start.sh").is_file()


@pytest.mark.parametrize("name", ["prometheus", "alertmanager"])
def test_a_server_listens_on_the_loopback_interface(name: str) -> None:
    text = (FOLDER / name / "start.sh").read_text(encoding="utf-8")
    assert '--web.listen-address="127.0.0.1:$port"' in text
    assert SERVICES[name]["network_mode"] == "host"


def test_grafana_listens_on_the_loopback_interface_and_has_no_password() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert not [name for name in environment if "PASSWORD" in name]


def test_provisioning_leads_to_the_dashboards_that_the_start_writes() -> None:
    provisioning = FOLDER / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "opslab.yml").read_text(encoding="utf-8"))["providers"]
    assert provider["options"]["path"] == "/run/opslab/dashboards"
    assert "run=${TC_STACK_RUN:-/run/opslab}" in (FOLDER / "grafana" / "start.sh").read_text(encoding="utf-8")
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text(encoding="utf-8"))[
        "datasources"
    ]
    assert source["url"] == "http://127.0.0.1:${TC_PROMETHEUS_PORT}"


def test_the_start_of_grafana_writes_the_dashboards_with_the_address_of_the_docs(tmp_path: Path) -> None:
    """Up to the start of Grafana itself, which only the container has."""
    done = subprocess.run(
        ["/bin/sh", FOLDER / "grafana" / "start.sh"],
        env={"PATH": "/usr/bin:/bin", "TC_STACK_RUN": str(tmp_path), "TC_DOCS_URL": "https://docs.test/a&b/"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 127, done.stderr
    assert "/run.sh" in done.stderr
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "dashboards").iterdir()}
    assert written.keys() == {path.name for path in (FOLDER / "grafana" / "dashboards").glob("*.json")} != set()
    for text in written.values():
        assert json.loads(text)["uid"]
        assert DOCS_URL not in text
        assert "https://docs.test/a&b/" in text


def test_a_dashboard_reads_the_provisioned_datasource() -> None:
    folder = FOLDER / "grafana"
    text = (folder / "provisioning" / "datasources" / "prometheus.yml").read_text(encoding="utf-8")
    (source,) = yaml.safe_load(text)["datasources"]
    for path in (folder / "dashboards").glob("*.json"):
        panels = json.loads(path.read_text(encoding="utf-8"))["panels"]
        used = {panel["datasource"]["uid"] for panel in panels if panel.get("targets")}
        assert used == {source["uid"]}, path.name


def test_docker_compose_accepts_the_file() -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is missing (Debian package docker-compose, from Debian 13 on)")
    done = subprocess.run(
        ["docker-compose", "--file", COMPOSE, "config", "--quiet"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_dev_container_publishes_the_exporter_on_the_loopback_interface() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert container["appPort"] == ["127.0.0.1:9464:9464"]
    assert (ROOT / container["postCreateCommand"]).is_file()
