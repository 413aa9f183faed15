"""`tc run paper`: run a live node against the loopback venue."""

from opslab.cli.options import Home, Json, RunIdOption, Spec, Strict
from opslab.cli.output import note, note_at_once
from opslab.cli.run.fields import break_off
from opslab.cli.run.follow_up import end, note_unserved
from opslab.cli.run.trace_export import exported_trace


def paper(
    spec: Spec, run_id: RunIdOption = None, strict: Strict = False, home: Home = None, as_json: Json = False
) -> None:
    """Run a live node against a loopback venue.

    The venue replays candles to NautilusTrader's live node, which is monitored to its end.
    """
    from opslab.cli.run.paper_board import PaperBoard
    from opslab.lab.context import open_context
    from opslab.lab.run.plan import make_plan
    from opslab.system import StopSignals

    context = open_context(home)
    with exported_trace(context) as traced:
        with StopSignals() as signals:
            signals.on_signal = break_off
            plan = make_plan(context, spec, run_id, "paper")
            # after the plan, so that a refusal does not wait for them
            from opslab.lab.run.claim import claim
            from opslab.lab.run.paper import run_paper

            signals.announce, signals.on_signal = _announce, lambda _count: None
            if signals.name:
                raise KeyboardInterrupt
            speed = plan.spec.paper.speed
            pace = "at full speed" if speed == "max" else f"at {speed}x"
            data = f"{plan.rows:,} candles of {plan.dataset.name}"
            with claim(context, plan) as run:
                traced.run_id = plan.run_id
                note(f"run {plan.run_id}: {plan.spec.strategy.title} on {data}, {pace}")
                run.log.observers.append(note_unserved)
                with PaperBoard(plan.run_id) as board:
                    metadata = run_paper(context, run, signals, board.show, traced.trace)
        end(context, metadata, strict=strict, as_json=as_json)


def _announce(name: str, count: int) -> None:
    if count == 1:
        note_at_once(f"{name}: closing the gate and applying on_stop to the account; a second signal kills the engine")
    else:
        note_at_once(f"{name}: killing the engine; the venue closes what is open")
