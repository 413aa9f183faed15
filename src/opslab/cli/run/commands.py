"""`tc run`: run it, and look at what ran."""

from typing import Annotated

import typer

from opslab.cli.options import Home, Json, RunIdOption, Spec, Strict
from opslab.cli.output import note, note_at_once, result_json
from opslab.cli.plain_command import PlainGroup
from opslab.cli.run import comparison as run_compare
from opslab.cli.run import paper as run_paper
from opslab.cli.run import proof as run_proof
from opslab.cli.run.acknowledgement import acknowledge
from opslab.cli.run.fields import break_off, document, show_fields
from opslab.cli.run.follow_up import end, note_unserved
from opslab.cli.run.listing import list_runs
from opslab.cli.run.trace_export import exported_trace

app = typer.Typer(cls=PlainGroup, help="Run, list, verify and compare runs.", no_args_is_help=True)

RunIdArgument = Annotated[str, typer.Argument(metavar="ID", help="Name of the run.", show_default=False)]


@app.command()
def init(spec: Spec, run_id: RunIdOption = None, home: Home = None, as_json: Json = False) -> None:
    """Check and record a run without running it.

    A later run with the same spec and name continues from this record.
    """
    from opslab.lab.context import open_context
    from opslab.lab.run.claim import initialize
    from opslab.lab.run.plan import make_plan

    context = open_context(home)
    metadata = initialize(context, make_plan(context, spec, run_id))
    if as_json:
        result_json(document(context, metadata))
    else:
        show_fields(metadata)
        elsewhere = f" --home {home}" if home else ""
        note(f"hint: tc run {metadata.mode} --spec {spec} --run-id {metadata.run_id}{elsewhere}")


@app.command()
def backtest(
    spec: Spec, run_id: RunIdOption = None, strict: Strict = False, home: Home = None, as_json: Json = False
) -> None:
    """Run a backtest.

    Runs the engine, and writes a journal, canonical results and a report.
    """
    from opslab.cli.progress import ProgressBar
    from opslab.lab.context import open_context
    from opslab.lab.run.plan import make_plan
    from opslab.system import StopSignals

    context = open_context(home)
    with exported_trace(context) as traced:
        with StopSignals() as signals:
            signals.on_signal = break_off
            plan = make_plan(context, spec, run_id, "backtest")
            # after the plan, so that a refusal does not wait for them
            from opslab.lab.run.backtest import run_backtest
            from opslab.lab.run.claim import claim

            signals.announce, signals.on_signal = _announce, lambda _count: None
            if signals.name:
                raise KeyboardInterrupt
            with claim(context, plan) as run:
                traced.run_id, rows = plan.run_id, plan.engine.rows
                note(f"run {plan.run_id}: {plan.spec.strategy.title} on {rows:,} candles of {plan.dataset.name}")
                run.log.observers.append(note_unserved)
                with ProgressBar("backtest", "bars", rows) as progress:
                    metadata = run_backtest(context, run, signals, progress.reach, traced.trace)
        end(context, metadata, strict=strict, as_json=as_json)


app.command()(run_paper.paper)
app.command("list")(list_runs)


@app.command()
def show(run_id: RunIdArgument, home: Home = None, as_json: Json = False) -> None:
    """Show the state, identity and counters of a run."""
    from opslab.lab.context import open_context
    from opslab.lab.run.show import is_unsettled, last_known_account, live_status, show_run

    context = open_context(home)
    metadata, _folder_path = show_run(context, run_id)
    if as_json:
        result_json(document(context, metadata))
    else:
        show_fields(metadata, live_status(context, run_id), last_known_account(context, metadata))
    if is_unsettled(metadata):
        note(f"hint: tc run recover {run_id} settles it")


def _announce(name: str, count: int) -> None:
    if count == 1:
        note_at_once(f"{name}: ending the run and keeping its results so far; a second signal kills the engine")
    else:
        note_at_once(f"{name}: killing the engine")


app.command()(run_proof.verify)
app.command()(run_proof.recover)
app.command()(run_proof.report)
app.command()(acknowledge)
app.command()(run_compare.compare)
app.command()(run_compare.reproduce)
