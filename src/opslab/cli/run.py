"""`tc run`: run it, and look at what ran."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from opslab.cli import run_compare, run_proof
from opslab.cli.kill import note_blocked, switch_text
from opslab.cli.options import Home, Json, Spec
from opslab.cli.output import note, note_at_once, result_fields, result_json
from opslab.cli.run_list import list_runs

if TYPE_CHECKING:
    from opslab.lab import Lab
    from opslab.model.live import Live
    from opslab.model.run import RunMetadata

app = typer.Typer(help="Run, and look at what ran.", no_args_is_help=True)

RunIdOption = Annotated[
    str | None,
    typer.Option("--run-id", metavar="ID", help="Name of the run [default: the spec's, or made from the time]"),
]
RunIdArgument = Annotated[str, typer.Argument(metavar="ID", help="Name of the run.", show_default=False)]

EXIT_CODES = {"completed": 0, "failed": 1, "safety_blocked": 4, "halted": 4, "interrupted": 130}


@app.command()
def init(spec: Spec, run_id: RunIdOption = None, home: Home = None, as_json: Json = False) -> None:
    """Record what is to be run, and check it, without running it; a backtest with the same spec goes on from it."""
    from opslab.lab import open_lab

    lab = open_lab(home)
    metadata = lab.initialize(lab.plan(spec, run_id))
    if as_json:
        result_json(_document(lab, metadata))
    else:
        _show(metadata)
        elsewhere = f" --home {home}" if home else ""
        note(f"hint: tc run {metadata.mode} --spec {spec} --run-id {metadata.run_id}{elsewhere}")


@app.command()
def backtest(spec: Spec, run_id: RunIdOption = None, home: Home = None, as_json: Json = False) -> None:
    """Run a backtest in the engine, with a journal, canonical results and a report."""
    from opslab.cli.progress import ProgressBar
    from opslab.lab import open_lab
    from opslab.system import StopSignals

    lab = open_lab(home)
    with StopSignals() as signals:
        signals.on_signal = _break_off
        plan = lab.plan(spec, run_id)
        signals.announce, signals.on_signal = _announce, lambda _count: None
        if signals.name:
            raise KeyboardInterrupt
        note(f"run {plan.run_id}: {plan.spec.strategy.title} on {plan.engine.rows:,} candles of {plan.dataset.name}")
        with ProgressBar("backtest", "bars", plan.engine.rows) as progress:
            metadata = lab.backtest(plan, signals, progress.reach)
    if as_json:
        result_json(_document(lab, metadata))
    else:
        _show(metadata)
    if metadata.failure:
        note(f"error: run {metadata.run_id} failed: {metadata.failure.message}")
        note(f"hint: tc run show {metadata.run_id}, and {_folder(metadata)}/report.md")
    elif metadata.status == "safety_blocked":
        note_blocked(metadata)
    elif metadata.status == "interrupted":
        note(f"run {metadata.run_id} was interrupted by {metadata.ended_by}; what there is has been kept")
    raise typer.Exit(EXIT_CODES[metadata.status])


app.command("list")(list_runs)


@app.command()
def show(run_id: RunIdArgument, home: Home = None, as_json: Json = False) -> None:
    """Show one run: its state, its identity, its counters."""
    from opslab.lab import open_lab

    lab = open_lab(home)
    metadata, _folder_path = lab.run(run_id)
    if as_json:
        result_json(_document(lab, metadata))
    else:
        _show(metadata, lab.live(run_id))
    if metadata.status == "interrupted" and metadata.ended_by == "owner_gone" and not metadata.recovered_at:
        note(f"hint: tc run recover {run_id} settles it")


def _break_off(_count: int) -> None:
    """Until there is a run nothing is written: whatever is being looked at can be left."""
    raise KeyboardInterrupt


def _announce(name: str, count: int) -> None:
    if count == 1:
        note_at_once(f"{name}: ending the run and keeping what there is; once more kills the engine")
    else:
        note_at_once(f"{name}: killing the engine")


def _document(lab: "Lab", run: "RunMetadata") -> dict[str, Any]:
    live = lab.live(run.run_id)
    seen = {"live": live.model_dump() if live else None, "seal": lab.seal(run.run_id), "folder": _folder(run)}
    return {**run.model_dump(mode="json"), **seen}


def _folder(run: "RunMetadata") -> str:
    """Relative to the home, as artifacts are."""
    return f"artifacts/runs/{run.run_id}"


def _show(run: "RunMetadata", live: "Live | None" = None) -> None:
    data, cost = run.dataset, run.engine_cost
    counters = list(run.metrics.model_dump().items()) if run.metrics else []
    result_fields(
        [
            ("run", run.run_id),
            ("mode", run.mode),
            ("status", run.status),
            ("ended by", run.ended_by),
            ("kill switch", switch_text(run.safety)),
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
            ("ended", run.ended_at),
            ("recovered", run.recovered_at),
            ("reproduces", run.reproduces),
            *((name, f"{count:,}") for name, count in counters),
            *((f"denied {name}", f"{count:,}") for name, count in run.denial_reasons.items()),
            ("engine", f"{cost.bars_per_second:,.0f} bars/s, {cost.peak_memory_bytes / 1e6:,.0f} MB" if cost else None),
            ("readiness", _check(run.connectivity_readiness)),
            ("probe", _check(run.connectivity_probe)),
            ("reconciliation", _check(run.reconciliation)),
            ("input digest", run.input_digest),
            ("result digest", run.result_digest),
            ("folder", _folder(run)),
        ]
    )


def _check(section: dict[str, Any] | None) -> str | None:
    return f"{section['state']} ({section['artifact']})" if section else None


app.command()(run_proof.verify)
app.command()(run_proof.recover)
app.command()(run_proof.report)
app.command()(run_compare.compare)
app.command()(run_compare.reproduce)
