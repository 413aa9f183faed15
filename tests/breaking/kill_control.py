"""kill -9 of `tc` at any moment of a run: nothing that was told is lost, and the run can be settled."""

from collections.abc import Iterator

from tests.breaking.aftermath import claim_goes_on, claim_nothing_half_done, phase_of, settle
from tests.breaking.chain import journal_bytes
from tests.breaking.processes import GONE_SECONDS, engine_of, is_living, orphans_after, start
from tests.breaking.scene import RUN, SMOKE_TINY, Scene, Turn, turns
from tests.breaking.trial import Attempt, Trial
from tests.fakes.tc import Tc

FULL = 500
_SAMPLE = 5
"""Every so many trials the next run in the same home is looked at as well."""


def attempts(scene: Scene) -> Iterator[Attempt]:
    scene.need(SMOKE_TINY.dataset)
    return turns("kill-control", scene, FULL, _kill)


def _kill(trial: Trial, turn: Turn) -> None:
    tc = turn.scene.home(trial)
    folder = tc.run_folder(RUN)
    process = start(tc, trial.folder / "tc", "run", "backtest", "--spec", turn.kind.spec(tc.home), "--run-id", RUN)
    alive = turn.reach(trial, process)
    engine = engine_of(process.pid) if alive else None
    before = journal_bytes(folder)
    process.kill()
    code = process.wait()
    trial.saw("exit", code)
    trial.saw("engine", "killed beside a living engine" if engine else "no engine at that moment")
    if folder.is_dir():
        if settle(trial, tc, RUN, before, turn.watched.expected) == "initialized":
            claim_goes_on(trial, tc, RUN, turn.kind.spec(tc.home), turn.watched.expected)
    else:
        trial.saw("found", phase_of(folder))
    _claim_engine_gone(trial, engine)
    if turn.number % _SAMPLE == 0:
        _claim_next_run_works(trial, tc)


def _claim_engine_gone(trial: Trial, engine: int | None) -> None:
    left = orphans_after(GONE_SECONDS)
    gone = engine is None or not is_living(engine)
    trial.claim(gone and not left, f"the engine child lives on {GONE_SECONDS:.0f} s after its tc: {engine}, {left}")


def _claim_next_run_works(trial: Trial, tc: Tc) -> None:
    """In the same home, under the same name if that is free; it sweeps up what the killed one left."""
    run_id = "next" if tc.run_folder(RUN).exists() else RUN
    answer = tc("run", "backtest", "--spec", SMOKE_TINY.spec(tc.home), "--run-id", run_id)
    trial.claim(answer.code == 0, f"the next run exits {answer.code}: {answer.err.strip()}")
    claim_nothing_half_done(trial, tc)
