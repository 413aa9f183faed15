"""The engine child: one run, then gone. Started by control as `python -P -m opslab.children.engine FD`.

Reads an `EnginePlan` from standard input, which stays open as long as control lives: its end means that nobody is
left to report to. Sends frames to descriptor FD. SIGTERM and SIGINT set a flag; the run ends from a callback.
"""

import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from opslab.children.pipe import FramePipe
from opslab.model.frame import EnginePlan, OwnStrategyPlan
from opslab.model.instrument import instrument_of
from opslab.model.redact import PathRedactor
from opslab.model.run import EngineCost, Failure
from opslab.nautilus import backtest, own
from opslab.nautilus.guard import Guarded, Watch, bind
from opslab.nautilus.results import Results
from opslab.nautilus.scenarios import SCENARIOS, Scenario, make

_PROGRESS_SECONDS = 0.25
_ORPHAN_SECONDS = 10.0


def main(scenarios: dict[tuple[str, str], type[Scenario]], descriptor: int) -> int:
    """Run the plan on standard input. Exit 0 whenever a result or a failure frame was sent."""
    os.set_inheritable(descriptor, False)  # what a strategy starts must not hold it open
    frames = FramePipe(descriptor)
    orders = _standard_input()
    plan = EnginePlan.model_validate_json(orders.readline())
    clean = redactor(plan.strategy.folder if isinstance(plan.strategy, OwnStrategyPlan) else None)
    results = Results(lambda file, row: frames.send({"row": row, "file": file}))
    watch = Watch(frames=frames, results=results, order_events=plan.order_events, clean=clean)
    threading.excepthook = _thread_raised(watch)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopper(watch))
    threading.Thread(target=_leave_with_parent, args=(watch, orders), name="parent", daemon=True).start()
    ended = threading.Event()
    threading.Thread(target=_tell_progress, args=(watch, ended), name="progress", daemon=True).start()
    try:
        outcome = backtest.run(plan, _strategy(plan, scenarios, watch), watch)
    except own.Unusable as unusable:  # it was inspected before: its files have changed, or it depends on chance
        failure = Failure(kind="strategy", message=clean(str(unusable)))
        frames.send({"failure": failure.model_dump()})
    except Exception as error:  # noqa: BLE001  (anything that kept the engine from running)
        text = "".join(traceback.format_exception(error))
        message = clean(f"{type(error).__name__}: {error}")
        failure = Failure(kind="engine", message=message, detail=clean(text))
        frames.send({"failure": failure.model_dump()})
    else:
        cost = EngineCost(
            elapsed_seconds=round(outcome.seconds, 6),
            bars_per_second=round(outcome.bars / outcome.seconds, 1) if outcome.seconds else 0.0,
            peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )
        if watch.failure:
            frames.send({"failure": watch.failure.model_dump()})
        result = {"counters": outcome.counters.model_dump(), "cost": cost.model_dump()}
        frames.send({"result": {**result, "denial_reasons": outcome.denial_reasons, "dropped": frames.dropped}})
    ended.set()
    frames.close()
    sys.stdout.flush()
    sys.stderr.flush()
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        os._exit(0)  # a strategy's thread is not waited for
    return 0


def _standard_input() -> BinaryIO:
    """Ours alone: a strategy that asks for input finds none."""
    stream = os.fdopen(os.dup(0), "rb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return stream


def _strategy(plan: EnginePlan, scenarios: dict[tuple[str, str], type[Scenario]], watch: Watch) -> Guarded:
    asked = plan.strategy
    if isinstance(asked, OwnStrategyPlan):
        strategy = own.load(asked).strategy
        bind(strategy, watch)
        return strategy
    return make(scenarios[(asked.name, asked.version)], instrument_of(plan.symbol), watch)


def _thread_raised(watch: Watch) -> Callable[[threading.ExceptHookArgs], None]:
    def record(raised: threading.ExceptHookArgs) -> None:
        if raised.exc_value is not None:
            watch.saw_exception(f"thread {raised.thread.name if raised.thread else 'unknown'}", raised.exc_value)

    return record


def _stopper(watch: Watch) -> Callable[[int, FrameType | None], None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        watch.stop = True

    return stop


def _leave_with_parent(watch: Watch, orders: BinaryIO) -> None:
    """Control holds the other end of standard input; its end is control's end."""
    while os.read(orders.fileno(), 4096):
        pass
    watch.stop = True
    threading.Event().wait(_ORPHAN_SECONDS)
    os._exit(3)


def _tell_progress(watch: Watch, ended: threading.Event) -> None:
    while not ended.wait(_PROGRESS_SECONDS):
        watch.frames.offer({"progress": {"bars": watch.bars}})


def redactor(folder: str | None = None) -> PathRedactor:
    """Takes this machine's paths out of what strategies raise; those in the spec's folder become relative to it."""
    known = {str(Path(__file__).parents[1]): "opslab", sys.prefix: "<env>", sys.base_prefix: "<python>"}
    if folder:
        known |= {f"{folder.rstrip('/')}/": "", folder: "<spec folder>"}
    return PathRedactor(known, (path.name for path in Path("/").iterdir()))


if __name__ == "__main__":
    sys.exit(main(SCENARIOS, int(sys.argv[1])))
