"""`tc venue serve` as a process: a context manager that leaves nothing running, and its errors."""

import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opslab.model.messages.venue_messages import VenueEndpoints
from tests.drivers.tc import Tc
from tests.drivers.venue_client import VenueClient

SAMPLE = ("--dataset", "btcusdt-sample")
NAME = "mine"
START_SECONDS = 200.0
END_SECONDS = 200.0


class ServedVenue:
    """A `tc venue serve --json` that has printed its endpoints."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        assert ready, "nothing was printed"
        self.line = process.stdout.readline()
        assert self.line, (process.wait(END_SECONDS), process.stderr and process.stderr.read())

    def client(self) -> VenueClient:
        return VenueClient(VenueEndpoints.model_validate_json(self.line))

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """(exit code, rest of stdout, stderr) after the signal."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=END_SECONDS)
        assert "Traceback" not in err, err
        return self.process.returncode, out, err

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(END_SECONDS)


@contextmanager
def served_venue(tc: Tc, *options: str) -> Iterator[ServedVenue]:
    """A venue of the sample dataset; it is ended however the block ends."""
    process = tc.start("venue", "serve", *SAMPLE, "--json", *options)
    try:
        yield ServedVenue(process)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.communicate(timeout=END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
        process.wait(END_SECONDS)


def serve_error(tc: Tc, *options: str) -> dict[str, Any]:
    """The error of a `tc venue serve` that does not start."""
    answer = tc("venue", "serve", "--json", *options)
    error: dict[str, Any] = answer.document["error"]
    assert error["exit_code"] == answer.code
    return error


def venue_folder(tc: Tc, name: str = NAME) -> Path:
    return tc.home / "runtime" / "venues" / name
