"""Links of panels, cells and dashboards."""

from dataclasses import dataclass

from grafana_foundation_sdk.builders.dashboard import DashboardLink

from deploy.observability.source.docs import DOCS_URL, runbook_url

ALL_RUNS_UID, RUN_UID, DRILLS_UID = "opslab-all-runs", "opslab-run", "opslab-drills"


@dataclass(frozen=True, slots=True)
class Link:
    title: str
    url: str
    keep_time: bool = False
    """Of a link of a dashboard: open the other one with the same time range."""

    def builder(self) -> DashboardLink:
        link = DashboardLink(self.title).url(self.url).keep_time(self.keep_time)
        return link.target_blank(self.url.startswith(DOCS_URL))


def runbook(page: str) -> Link:
    """page: its file in `docs/runbooks/`, without `.md`."""
    return Link(f"Runbook: {page.replace('-', ' ')}", runbook_url(page))


def docs_page(title: str, path: str) -> Link:
    """path: below the documentation's address, for example `observability/#alerts`."""
    return Link(title, f"{DOCS_URL}/{path}")


ALL_RUNS = Link("All runs", f"/d/{ALL_RUNS_UID}", keep_time=True)
DRILLS = Link("Failure drills", f"/d/{DRILLS_UID}")
OBSERVABILITY = docs_page("Documentation", "observability/")


def run_of(source: str) -> Link:
    """source: Grafana's expression for the id, as `__field.labels.run_id`."""
    return Link("This run", f"/d/{RUN_UID}?var-run_id=${{{source}}}&${{__url_time_range}}")


RUN_OF_SERIES = run_of("__field.labels.run_id")
RUN_OF_CELL = run_of("__value.raw")
"""In the column of the ids."""
