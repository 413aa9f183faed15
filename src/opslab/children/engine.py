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

from opslab.children.pipe import FramePipe
from opslab.model.frame import EnginePlan
from opslab.model.redact import PathRedactor
from opslab.model.run import EngineCost, Failure
from opslab.nautilus import backtest
from opslab.nautilus.guard import Guarded, Watch
from opslab.nautilus.scenarios import SCENARIOS

_PROGRESS_SECONDS = 0.25
_ORPHAN_SECONDS = 10.0


def main(scenarios: dict[tuple[str, str], type[Guarded]], descriptor: int) -> int:
    """Run the plan on standard input. Exit 0 whenever a result or a failure frame was sent."""
    frames = FramePipe(descriptor)
    plan = EnginePlan.model_validate_json(sys.stdin.buffer.readline())
    clean = redactor()
    watch = Watch(frames=frames, order_events=plan.order_events, clean=clean)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopper(watch))
    threading.Thread(target=_leave_with_parent, args=(watch,), name="parent", daemon=True).start()
    ended = threading.Event()
    threading.Thread(target=_tell_progress, args=(watch, ended), name="progress", daemon=True).start()
    scenario = scenarios[(plan.scenario, plan.scenario_version)]
    try:
        outcome = backtest.run(plan, scenario, watch)
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
    return 0


def _stopper(watch: Watch) -> Callable[[int, FrameType | None], None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        watch.stop = True

    return stop


def _leave_with_parent(watch: Watch) -> None:
    """Control holds the other end of standard input; its end is control's end."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    watch.stop = True
    threading.Event().wait(_ORPHAN_SECONDS)
    os._exit(3)


def _tell_progress(watch: Watch, ended: threading.Event) -> None:
    while not ended.wait(_PROGRESS_SECONDS):
        watch.frames.offer({"progress": {"bars": watch.bars}})


def redactor() -> PathRedactor:
    """Takes this machine's paths out of what strategies raise."""
    known = {str(Path(__file__).parents[1]): "opslab", sys.prefix: "<env>", sys.base_prefix: "<python>"}
    return PathRedactor(known, (path.name for path in Path("/").iterdir()))


if __name__ == "__main__":
    sys.exit(main(SCENARIOS, int(sys.argv[1])))
