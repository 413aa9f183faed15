"""Panels: every kind has a title, a description, a unit, a legend for each query and its links."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimeline
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.text import Panel as Text
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery as AnyDataquery
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    DataSourceRef,
    LegendDisplayMode,
    LegendPlacement,
    LineInterpolation,
    SortOrder,
    TableAutoCellOptions,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import FieldColorModeId, Threshold, ThresholdsMode, ValueMap
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

from deploy.observability.source.dashboards.links import RUN_OF_SERIES, Link
from deploy.observability.source.dashboards.states import BAD, GOOD, NEUTRAL, WARN, States

DATASOURCE_UID = "prometheus"
DATASOURCE = DataSourceRef(type_val="prometheus", uid=DATASOURCE_UID)


@dataclass(frozen=True, slots=True)
class Query:
    expression: str
    legend: str
    """Names the labels that distinguish the series, as `{{run_id}}`; fixed text where there is one series."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What every panel has besides its data."""

    title: str
    description: str
    width: int
    """Columns of 24."""
    height: int = 6
    links: tuple[Link, ...] = ()
    """Runbooks and pages of the docs."""
    to_run: bool = False
    """Whether a series leads to the dashboard of its run."""


def thresholds(*steps: tuple[float, str], base: str = GOOD) -> ThresholdsConfig:
    """base: colour below the first step."""
    rest = [Threshold(value, color) for value, color in steps]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([Threshold(None, base), *rest])


NO_THRESHOLDS = thresholds(base=NEUTRAL)
ZERO_IS_GOOD = thresholds((1, BAD))
ANY_IS_WARNING = thresholds((1, WARN))


def framed[P: (Stat, StateTimeline, Table, Text, TimeSeries)](panel: P, frame: Frame) -> model.Panel:
    """The panel with what every panel has."""
    ready = (
        panel.title(frame.title)
        .description(frame.description)
        .datasource(DATASOURCE)
        .height(frame.height)
        .span(frame.width)
        .links([link.builder() for link in frame.links])
    )
    if frame.to_run:
        ready = ready.data_links([RUN_OF_SERIES.builder()])
    return ready.build()


def lines(
    frame: Frame, unit: str, *queries: Query, floor_zero: bool = True, limits: ThresholdsConfig = NO_THRESHOLDS
) -> model.Panel:
    """Values over time."""
    panel = (
        TimeSeries()
        .unit(unit)
        .targets(_targets(queries))
        .thresholds(limits)
        .line_interpolation(LineInterpolation.STEP_AFTER)
        .fill_opacity(8)
        .show_points(VisibilityMode.AUTO)
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .legend(_legend(LegendDisplayMode.LIST))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if floor_zero:
        panel = panel.min(0)
    return framed(panel, frame)


def timeline(frame: Frame, mapping: ValueMap, *queries: Query) -> model.Panel:
    """One row for each thing, with the name of its state over time."""
    panel = (
        StateTimeline()
        .unit(units.Short)
        .targets(_targets(queries))
        .mappings([mapping])
        .thresholds(NO_THRESHOLDS)
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .merge_values(True)
        .show_value(VisibilityMode.AUTO)
        .row_height(0.85)
        .fill_opacity(75)
        .legend(_legend(LegendDisplayMode.LIST))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.SINGLE))
    )
    return framed(panel, frame)


def state_timeline(frame: Frame, states: States, legend: str, matchers: str = "") -> model.Panel:
    return timeline(frame, states.mapping(), Query(states.expression(matchers), legend))


def numbers(
    frame: Frame,
    unit: str,
    *queries: Query,
    limits: ThresholdsConfig = NO_THRESHOLDS,
    mapping: ValueMap | None = None,
    no_value: str = "none",
) -> model.Panel:
    """Present values in large type.

    mapping: text of values that are states; their colour fills the box.
    no_value: text when there is no series.
    """
    panel = (
        Stat()
        .unit(unit)
        .targets(_targets(queries, instant=True))
        .thresholds(limits)
        .mappings([mapping] if mapping else [])
        .no_value(no_value)
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .color_mode(BigValueColorMode.BACKGROUND if mapping else BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .text_mode(BigValueTextMode.VALUE_AND_NAME)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )
    return framed(panel, frame)


def state_number(frame: Frame, states: States, legend: str, matchers: str = "", no_value: str = "none") -> model.Panel:
    query = Query(states.expression(matchers), legend)
    return numbers(frame, units.Short, query, mapping=states.mapping(), no_value=no_value)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    """Label of the series, or `Value #A` for the value of the first query."""
    title: str
    unit: str = ""
    link: Link | None = None


def rows(frame: Frame, *queries: Query, columns: Sequence[Column], joined_by: str = "run_id") -> model.Panel:
    """Labels and values of series, with the given columns only. Several queries are joined by one of them."""
    shown = [column.name for column in columns]
    panel = (
        Table()
        .unit(units.Short)
        .targets(_targets(queries, instant=True, table=True))
        .thresholds(NO_THRESHOLDS)
        .show_header(True)
        .filterable(True)
        .cell_options(TableAutoCellOptions())
        .with_transformation(_join(joined_by) if len(queries) > 1 else _merge())
        .with_transformation(_only(shown))
        .with_transformation(_organized(columns))
    )
    for column in columns:
        if properties := list(_properties(column)):
            panel = panel.override_by_name(column.title, properties)
    return framed(panel, frame)


def _join(label: str) -> model.DataTransformerConfig:
    return model.DataTransformerConfig("joinByField", options={"byField": label, "mode": "outer"})


def _merge() -> model.DataTransformerConfig:
    return model.DataTransformerConfig("merge", options={})


def _only(names: Sequence[str]) -> model.DataTransformerConfig:
    return model.DataTransformerConfig("filterFieldsByName", options={"include": {"names": list(names)}})


def _organized(columns: Sequence[Column]) -> model.DataTransformerConfig:
    options = {
        "excludeByName": {},
        "includeByName": {},
        "indexByName": {column.name: index for index, column in enumerate(columns)},
        "renameByName": {column.name: column.title for column in columns},
    }
    return model.DataTransformerConfig("organize", options=options)


def _properties(column: Column) -> Iterable[model.DynamicConfigValue]:
    if column.unit:
        yield model.DynamicConfigValue("unit", column.unit)
    if column.link:
        link = {"title": column.link.title, "url": column.link.url, "targetBlank": False}
        yield model.DynamicConfigValue("links", [link])


def text(frame: Frame, content: str) -> model.Panel:
    return framed(Text().mode(TextMode.MARKDOWN).content(content), frame)


def _targets(queries: Iterable[Query], *, instant: bool = False, table: bool = False) -> list[Builder[AnyDataquery]]:
    return [_target(query, chr(ord("A") + index), instant, table) for index, query in enumerate(queries)]


def _target(query: Query, ref_id: str, instant: bool, table: bool) -> Dataquery:
    target = Dataquery().ref_id(ref_id).datasource(DATASOURCE).expr(query.expression).legend_format(query.legend)
    target = target.format(PromQueryFormat.TABLE if table else PromQueryFormat.TIME_SERIES)
    return target.instant() if instant else target.range()


def _legend(mode: LegendDisplayMode) -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(True).display_mode(mode).placement(LegendPlacement.BOTTOM)
    return legend.calcs([])
