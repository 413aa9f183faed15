"""`report.md` and `report.html`: derived from the metadata, safe to delete."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from opslab.model.run.engine_log import LogFacts
from opslab.model.run.metadata import RunDataset, RunMetadata
from opslab.resources import template
from opslab.runs.record.paper_report import Rows, paper_sections
from opslab.store.runs.run_folders import write_text


def write_reports(folder: Path, metadata: RunMetadata) -> None:
    write_text(folder, "report.md", render("report.md.j2", metadata))
    write_text(folder, "report.html", render("report.html.j2", metadata))


def render(name: str, metadata: RunMetadata) -> str:
    """The report in the template's format; text from users and strategies is escaped."""
    html = ".html" in name
    environment = Environment(
        autoescape=html, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["cell"] = _html_cell if html else _markdown_cell
    return environment.from_string(template(name)).render(run=metadata, sections=sections(metadata))


def sections(run: RunMetadata) -> list[tuple[str, Rows]]:
    """Headings with rows of name and value, the same in every format. Unknown values and empty tables are omitted."""
    tables: list[tuple[str, Rows]] = [
        ("Warnings", [(warning.code, warning.line) for warning in run.warnings]),
        (
            "Run",
            [
                ("mode", run.mode),
                ("status", run.status),
                ("strategy", run.strategy_title),
                ("instrument", f"{run.instrument} on {run.venue}"),
                ("risk profile", run.risk_profile),
                ("started", run.started_at),
                ("ended", run.ended_at),
                ("ended by", run.ended_by),
                ("acknowledged", run.acknowledged.line if run.acknowledged else None),
            ],
        ),
    ]
    if run.paper:
        tables += paper_sections(run.paper)
    if run.halt:
        tables.append(("Halt", list(run.halt.model_dump().items())))
    if run.safety:
        tables.append(("Safety status", list(run.safety.model_dump().items())))
    if run.metrics:
        tables.append(("Scenario counters", list(run.metrics.model_dump().items())))
    if run.rejection_reasons:
        tables.append(("Orders rejected, by reason", list(run.rejection_reasons.items())))
    if run.denial_reasons:
        tables.append(("Orders denied, by reason", list(run.denial_reasons.items())))
    if run.log:
        tables.append((f"Log of engine and strategy, from level {run.log.level}", _log_rows(run.log)))
    if run.dataset:
        tables.append(("Data", _data_rows(run.dataset)))
    if run.identity:
        identity = [("input digest", run.input_digest), ("result digest", run.result_digest)]
        tables.append(("Identity", [*identity, *run.identity.model_dump().items()]))
    tables += _checks(run)
    if run.engine_cost:
        cost = run.engine_cost
        tables.append(
            (
                "Engine",
                [
                    ("elapsed seconds", cost.elapsed_seconds),
                    ("bars per second", round(cost.bars_per_second)),
                    ("peak memory MB", round(cost.peak_memory_bytes / 1e6)),
                ],
            )
        )
    known = [(heading, [row for row in rows if row[1] is not None]) for heading, rows in tables]
    return [(heading, rows) for heading, rows in known if rows]


def _log_rows(log: LogFacts) -> Rows:
    kinds = (
        (f"{kind.level} {kind.component}", f"{kind.count:,} lines" + (f": {kind.message}" if kind.message else ""))
        for kind in log.kinds
    )
    return [*((f"{level} lines", count) for level, count in log.lines.items()), *kinds]


def _data_rows(data: RunDataset) -> Rows:
    return [
        ("dataset", f"{data.name} ({data.kind})"),
        ("candles used", data.rows),
        ("first open", data.first_open),
        ("last open", data.last_open),
        ("window start", data.start),
        ("window end", data.end),
        ("allowed errors", ", ".join(data.allowed) or None),
        ("market", data.market),
        ("rounded candles", data.rounded or None),
        ("fingerprint", data.fingerprint),
    ]


def _checks(run: RunMetadata) -> list[tuple[str, Rows]]:
    checks = {
        "Connectivity readiness": run.connectivity_readiness,
        "Connectivity probe": run.connectivity_probe,
        "Reconciliation": run.reconciliation,
    }
    return [(title, list(section.items())) for title, section in checks.items() if section]


def _markdown_cell(value: Any) -> str:
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`").replace("\n", " ")


def _html_cell(value: Any) -> str:
    return str(value)
