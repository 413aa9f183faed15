"""Where the committed Grafana dashboards lead, and where their data is from."""

import re
from pathlib import Path

import pytest
import yaml
from deploy.observability.source.dashboards.all_runs import RUNBOOK_OF_STATE
from deploy.observability.source.dashboards.panels import DATASOURCE_UID
from deploy.observability.source.docs import DOCS_URL

from tests.drivers.grafana import DASHBOARDS, FOLDER, Json, links, load

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_links_lead_to_pages_that_exist(path: Path) -> None:
    uids = {load(each)["uid"] for each in DASHBOARDS}
    found = list(links(load(path)))
    assert found
    for title, url in found:
        if url.startswith("/d/"):
            assert re.split(r"[/?]", url.removeprefix("/d/"))[0] in uids, (title, url)
            continue
        assert url.startswith(f"{DOCS_URL}/"), (title, url)
        for address in _addresses(url.removeprefix(f"{DOCS_URL}/")):
            page, _, anchor = address.partition("#")
            file = DOCS / f"{page.strip('/')}.md"
            assert file.exists(), (title, url)
            assert not anchor or anchor in _anchors(file), (title, url)


def _addresses(url: str) -> list[str]:
    """The address, or one for each runbook that a cell can name."""
    variable = "${__value.raw}"
    return [url.replace(variable, page) for page in RUNBOOK_OF_STATE.values()] if variable in url else [url]


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def test_the_datasource_is_provisioned_and_dashboards_are_read_from_files() -> None:
    provisioning = FOLDER / "provisioning"
    [source] = [each for path in (provisioning / "datasources").iterdir() for each in _yaml(path)["datasources"]]
    assert source["uid"] == DATASOURCE_UID
    assert source["type"] == "prometheus"
    scrapes = _yaml(FOLDER.parent / "prometheus" / "prometheus.yml")["global"]
    assert source["jsonData"]["timeInterval"] == scrapes["scrape_interval"]
    [provider] = [each for path in (provisioning / "dashboards").iterdir() for each in _yaml(path)["providers"]]
    assert provider["type"] == "file"


def _yaml(path: Path) -> Json:
    content: Json = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content
