"""Output of one run: fields for people, a JSON document, the exit code."""

from typing import TYPE_CHECKING, Any

from opslab.cli.output import result_fields
from opslab.cli.run.paper_fields import halt_fields, live_fields, paper_fields

if TYPE_CHECKING:
    from opslab.context import Context
    from opslab.model.run.live_status import LiveStatus
    from opslab.model.run.metadata import RunMetadata, Safety


def break_off(_count: int) -> None:
    """Nothing is written before the run exists, so that a signal can end the command at any point."""
    raise KeyboardInterrupt


def document(context: "Context", run: "RunMetadata") -> dict[str, Any]:
    from opslab.lab.run.show import live_status, seal_digest

    live, seal = live_status(context, run.run_id), seal_digest(context, run.run_id)
    seen = {"live": live.model_dump() if live else None, "seal": seal, "folder": folder_of(run)}
    return {**run.model_dump(mode="json"), **seen}


def folder_of(run: "RunMetadata") -> str:
    """Relative to the home, like artifacts."""
    return f"artifacts/runs/{run.run_id}"


def show_fields(run: "RunMetadata", live: "LiveStatus | None" = None) -> None:
    data, cost = run.dataset, run.engine_cost
    counters = list(run.metrics.model_dump().items()) if run.metrics else []
    result_fields(
        [
            *((f"warning {warning.code}", warning.line) for warning in run.warnings),
            ("run", run.run_id),
            ("mode", run.mode),
            ("status", run.status),
            ("ended by", run.ended_by),
            ("kill switch", _switch_text(run.safety)),
            ("failure", f"{run.failure.kind}: {run.failure.message}" if run.failure else None),
            ("strategy", run.strategy_title),
            ("instrument", f"{run.instrument} on {run.venue}"),
            ("dataset", f"{data.name} ({data.kind}), {data.rows:,} candles" if data else None),
            (
                "window",
                f"{data.start or 'the start'} to {data.end or 'the end'}"
                if data and (data.start or data.end)
                else None,
            ),
            ("allowed", ", ".join(data.allowed) if data and data.allowed else None),
            ("risk profile", run.risk_profile),
            ("started", run.started_at),
            ("heartbeat", live.heartbeat_at if live else None),
            ("bars so far", f"{live.bars_seen:,} of {live.bars_total:,}" if live else None),
            *live_fields(live.paper if live else None),
            ("ended", run.ended_at),
            ("recovered", run.recovered_at),
            ("reproduces", run.reproduces),
            *halt_fields(run.halt),
            *paper_fields(run.paper),
            *((name, f"{count:,}") for name, count in counters),
            *((f"denied {name}", f"{count:,}") for name, count in run.denial_reasons.items()),
            *((f"rejected {name}", f"{count:,}") for name, count in run.rejection_reasons.items()),
            ("engine", f"{cost.bars_per_second:,.0f} bars/s, {cost.peak_memory_bytes / 1e6:,.0f} MB" if cost else None),
            ("readiness", _check(run.connectivity_readiness)),
            ("probe", _check(run.connectivity_probe)),
            ("reconciliation", _check(run.reconciliation)),
            ("input digest", run.input_digest),
            ("result digest", run.result_digest),
            ("folder", folder_of(run)),
        ]
    )


def _check(section: dict[str, Any] | None) -> str | None:
    if not section:
        return None
    kept = section["artifact"]
    return f"{section['state']} ({kept})" if kept else str(section["state"])


def _switch_text(safety: "Safety | None") -> str | None:
    """None when the switch was never activated."""
    return f"{safety.state} ({safety.file})" if safety and safety.state != "absent" else None
