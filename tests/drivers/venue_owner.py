"""A control process for one venue, which a test can kill: `python -m tests.drivers.venue_owner LOG`.

Standard input: a `VenuePlan` as one line. Standard output: the venue's process id, then its messages, one a line.
"""

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from opslab.model.messages.venue_messages import VenueEndpoints, VenuePlan
from opslab.model.pipe.messages import encode
from opslab.runs.processes.child_process import VENUE_COMMAND, ChildProcess
from opslab.system import SystemClock

ROOT = Path(__file__).parents[2]


class ControlProcess:
    """A venue whose control process can be killed. `with` leaves neither process running."""

    def __init__(self, plan: VenuePlan, log: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.drivers.venue_owner", str(log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        assert self._process.stdin
        self._process.stdin.write(plan.model_dump_json().encode() + b"\n")
        self._process.stdin.flush()
        self.pid: int = self._line()["pid"]
        self._venue = os.pidfd_open(self.pid)
        while "listening" not in (message := self._line()):
            assert "refused" not in message, message
        self.endpoints = VenueEndpoints.model_validate(message["listening"]["endpoints"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._venue, signal.SIGKILL)
        os.close(self._venue)
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()

    def _line(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "control or venue ended at once"
        return json.loads(line)

    def kill(self) -> None:
        """kill -9 of control; returns when it has ended."""
        self._process.kill()
        self._process.wait()

    def stop_venue(self) -> None:
        signal.pidfd_send_signal(self._venue, signal.SIGTERM)

    def venue_ended(self, seconds: float) -> bool:
        """Whether the venue ends within `seconds`."""
        return bool(select.select([self._venue], [], [], seconds)[0])


def main() -> None:
    plan = VenuePlan.model_validate_json(sys.stdin.readline())
    child = ChildProcess("venue", plan, Path(sys.argv[1]), SystemClock(), VENUE_COMMAND)
    print(json.dumps({"pid": child._child.pid}), flush=True)
    for messages in child.messages():
        for message in messages:
            print(encode(message).decode(), flush=True)


if __name__ == "__main__":
    main()
