"""Output of one run: fields for people, a JSON document, the exit code."""

from typing import TYPE_CHECKING, Any

from opslab.cli.output import result_fields
from opslab.cli.run.paper_fields import (
    at_last_heartbeat,
    halt_fields,
    last_fields,
    ledger_text,
    live_fields,
    paper_fields,
)

if TYPE_CHECKING:
    from opslab.context import Context
    from opslab.model.run.engine_log import LogFacts
    from opslab.model.run.live_status import LiveStatus
    from opslab.model.run.metadata import RunMetadata, Safety
    from opslab.model.run.paper_summary import LedgerAccount
    from opslab.model.run.run_counters import OrderCounters


def break_off(_count: int) -> None:
    """Nothing is written before the run exists, so that a signal can end the command at any point."""
    raise KeyboardInterrupt


def document(context: "Context", run: "RunMetadata") -> dict[str, Any]:
    from opslab.lab.run.show import last_known_account, live_status, seal_digest

    live, seal = live_status(context, run.run_id), seal_digest(context, run.run_id)
    seen = {"live": live.model_dump() if live else None, "seal": seal, "folder": folder_of(run)}
    known = last_known_account(context, run)
    by_ledger = {"ledger_account": known.model_dump()} if known else {}
    return {**run.model_dump(mode="json"), **seen, **by_ledger}


def folder_of(run: "RunMetadata") -> str:
    """Relative to the home, like artifacts."""
    return f"artifacts/runs/{run.run_id}"


def show_fields(run: "RunMetadata", live: "LiveStatus | None" = None, by_ledger: "LedgerAccount | None" = None) -> None:
    """by_ledger: the account of a run whose owner died."""
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
            *_live(run, live, by_ledger),
            ("ended", run.ended_at),
            ("recovered", run.recovered_at),
            ("acknowledged", run.acknowledged.line if run.acknowledged else None),
            ("reproduces", run.reproduces),
            *halt_fields(run.halt),
            *paper_fields(run.paper),
            *((name, f"{count:,}") for name, count in counters),
            *((f"denied {name}", f"{count:,}") for name, count in run.denial_reasons.items()),
            *((f"rejected {name}", f"{count:,}") for name, count in run.rejection_reasons.items()),
            ("engine", f"{cost.bars_per_second:,.0f} bars/s, {cost.peak_memory_bytes / 1e6:,.0f} MB" if cost else None),
            ("log", _log_text(run.log)),
            ("readiness", _check(run.connectivity_readiness)),
            ("probe", _check(run.connectivity_probe)),
            ("reconciliation", _check(run.reconciliation)),
            ("input digest", run.input_digest),
            ("result digest", run.result_digest),
            ("trace", run.trace.trace_id if run.trace else None),
            ("folder", folder_of(run)),
        ]
    )


def _live(
    run: "RunMetadata", live: "LiveStatus | None", by_ledger: "LedgerAccount | None"
) -> list[tuple[str, str | None]]:
    """The current values of a running run; the last known values of a dead one, with their time."""
    if run.status == "running" or live is None:
        account = [("account", ledger_text(by_ledger))] if by_ledger else []
        bars = f"{live.bars_seen:,} of {live.bars_total:,}" if live else None
        now = live_fields(live.paper if live else None)
        orders = _orders_text(live.orders) if live else None
        progress = [("bars so far", bars), ("orders so far", orders)]
        return [("heartbeat", live.heartbeat_at if live else None), *progress, *now, *account]
    return [
        ("last heartbeat", live.heartbeat_at),
        ("bars", f"{live.bars_seen:,} of {live.bars_total:,}, {at_last_heartbeat(live)}"),
        *last_fields(live, by_ledger),
    ]


def _orders_text(orders: "OrderCounters") -> str | None:
    """None without orders."""
    return ", ".join(f"{count:,} {name}" for name, count in orders.model_dump().items() if count) or None


def _log_text(log: "LogFacts | None") -> str | None:
    """None without lines."""
    if log is None or not log.lines:
        return None
    return f"{', '.join(f'{count:,} {level}' for level, count in log.lines.items())} (logs/)"


def _check(section: dict[str, Any] | None) -> str | None:
    if not section:
        return None
    kept = section["artifact"]
    return f"{section['state']} ({kept})" if kept else str(section["state"])


def _switch_text(safety: "Safety | None") -> str | None:
    """None when the switch was never activated."""
    return f"{safety.state} ({safety.file})" if safety and safety.state != "absent" else None
