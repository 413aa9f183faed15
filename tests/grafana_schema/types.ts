// Types of the dashboards of file provisioning, from Grafana's own package. In JSON a value of an enumeration is its text.
import type { AnnotationQuery, Dashboard, DataQuery, FieldConfig, FieldConfigSource, Panel, RowPanel } from "@grafana/schema";
import type {
  FieldConfig as StateField,
  Options as StateTimeline,
} from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen";
import type { Options as Stat } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type {
  FieldConfig as TableField,
  Options as Table,
} from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type { Options as Text } from "@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen";
import type {
  FieldConfig as SeriesField,
  Options as TimeSeries,
} from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

type Plain<T> = unknown extends T
  ? T
  : T extends string
    ? `${T}`
    : T extends number | boolean | null | undefined
      ? T
      : T extends (infer Item)[]
        ? Plain<Item>[]
        : T extends object
          ? { [Key in keyof T]: Plain<T[Key]> }
          : T;

// The types of a Prometheus query are in no package of Grafana for other programs.
type Query = DataQuery & Record<string, unknown>;

type PanelOf<Type extends string, Options, Custom> = Omit<Panel, "type" | "options" | "fieldConfig" | "targets"> & {
  type: Type;
  options: Options;
  fieldConfig?: {
    defaults: Omit<FieldConfig, "custom"> & { custom?: Custom };
    overrides: FieldConfigSource["overrides"];
  };
  targets?: Query[];
};

type AnyPanel =
  | RowPanel
  | PanelOf<"stat", Stat, never>
  | PanelOf<"state-timeline", StateTimeline, StateField>
  | PanelOf<"table", Table, TableField>
  | PanelOf<"text", Text, never>
  | PanelOf<"timeseries", TimeSeries, SeriesField>;

type PrometheusAnnotation = Omit<AnnotationQuery, "target"> & {
  target: Query;
  textFormat?: string;
  titleFormat?: string;
  useValueForTime?: boolean;
};

export type ProvisionedDashboard = Plain<
  Omit<Dashboard, "annotations" | "panels"> & {
    annotations: { list?: PrometheusAnnotation[] };
    panels: AnyPanel[];
  }
>;
