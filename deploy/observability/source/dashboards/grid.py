"""Dashboards from sections of panels. Positions are set here, in Grafana's grid of 24 columns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery, Dashboard, QueryVariable, Row
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from deploy.observability.source.dashboards.links import Link
from deploy.observability.source.dashboards.panels import DATASOURCE

COLUMNS = 24


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    """A question of the operator."""
    panels: Sequence[model.Panel]


@dataclass(frozen=True, slots=True)
class Placed(Builder[model.Panel]):
    """A panel that has its place, as the SDK's dashboard takes it."""

    panel: model.Panel

    def build(self) -> model.Panel:
        return self.panel


def dashboard(
    uid: str,
    title: str,
    description: str,
    sections: Iterable[Section],
    *,
    links: Iterable[Link],
    variables: Iterable[QueryVariable] = (),
    annotations: Iterable[AnnotationQuery] = (),
    since: str = "now-1h",
    refresh: str = "10s",
) -> model.Dashboard:
    builder = (
        Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["opslab"])
        .readonly()
        .time(since, "now")
        .refresh(refresh)
        .timezone("utc")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .links([link.builder() for link in links])
        .variables(list(variables))
        .annotations(list(annotations))
    )
    y, number = 0, 1
    for section in sections:
        builder = builder.with_row(Row(section.title).id(number).grid_pos(model.GridPos(h=1, w=COLUMNS, x=0, y=y)))
        number += 1
        y += 1
        for line in _lines(section.panels):
            height, x = max(_size(panel).h for panel in line), 0
            for panel in line:
                width = _size(panel).w
                panel.id_val = number
                panel.grid_pos = model.GridPos(h=height, w=width, x=x, y=y)
                builder = builder.with_panel(Placed(panel))
                number += 1
                x += width
            y += height
    return builder.build()


def _lines(panels: Iterable[model.Panel]) -> Iterable[list[model.Panel]]:
    """The panels in lines of at most 24 columns."""
    line: list[model.Panel] = []
    for panel in panels:
        if sum(_size(each).w for each in line) + _size(panel).w > COLUMNS:
            yield line
            line = []
        line.append(panel)
    if line:
        yield line


def _size(panel: model.Panel) -> model.GridPos:
    assert panel.grid_pos is not None, panel.title
    return panel.grid_pos


def run_variable() -> QueryVariable:
    """`run_id`: one of the runs that have series of their own."""
    return (
        QueryVariable("run_id")
        .label("Run")
        .description("A run that the exporter shows in full.")
        .datasource(DATASOURCE)
        .query({"qryType": 1, "query": RUN_IDS, "refId": "PrometheusVariableQueryEditor-VariableQuery"})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_DESC)
        .multi(False)
        .include_all(False)
    )


RUN_IDS = "label_values(opslab_run_info, run_id)"
