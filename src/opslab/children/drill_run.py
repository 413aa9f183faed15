"""A paper run of a drill, in a process of its own, so that a drill can kill the control of a run too.

Started as `python -P -m opslab.children.drill_run`, with a `DrillRunPlan` as the first line of standard input. The run
is the one of `tc run paper`. The end of standard input is the end of the drill: the run is then stopped as by SIGTERM,
so that no run outlives a drill that was killed.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import BinaryIO

from opslab.children.redactor import path_redactor
from opslab.context import Context
from opslab.errors import LabError
from opslab.model.messages.drill_messages import DrillRunPlan
from opslab.model.primitives.ids import RunId
from opslab.model.run.metadata import EXIT_CODES
from opslab.runs.claim import claim
from opslab.runs.lifecycle import RunContext
from opslab.runs.paper.run import run_paper
from opslab.runs.planning.plan import plan_paper
from opslab.specs.load import parse_spec
from opslab.store.layout import Layout
from opslab.system import StopSignals, SystemClock, SystemProcesses


def main() -> int:
    """The exit code is that of the status of the run, as of `tc run paper`; or that of the error."""
    stream = os.fdopen(os.dup(0), "rb")
    plan = DrillRunPlan.model_validate_json(stream.readline())
    layout, clock = Layout(Path(plan.home)), SystemClock()
    redact = path_redactor(plan.spec_folder)
    context = Context(layout, clock, SystemProcesses(), lambda text: redact(text.replace(plan.home, "<home>")))
    try:
        with StopSignals() as signals:
            threading.Thread(target=_stop_with, args=(stream,), name="drill", daemon=True).start()
            loaded = parse_spec(plan.spec_text, plan.spec_file)
            paper = plan_paper(layout, loaded, RunId(plan.run_id), Path(plan.spec_folder), clock)
            run_context = RunContext(layout, clock, context.processes, context.redact, signals)
            with claim(context, paper) as run:
                metadata = run_paper(run, run_context, lambda _live: None)
    except LabError as failure:
        os.write(2, f"{failure.message}\n".encode())
        return failure.exit_code
    return EXIT_CODES[metadata.status]


def _stop_with(stream: BinaryIO) -> None:
    """Returns when the drill has ended."""
    while stream.read(1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
