"""Clients of a venue's control socket: correct requests, raw bytes, and a client process that can be killed."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from opslab.runs.processes.venue_control_client import ControlClient
from opslab.store.venues.venue_log import NAME
from tests.drivers.tc import wait_until

TOKEN = "contract"
TIMEOUT_SECONDS = 100.0
_CLIENT_PROGRAM = """
import json, os, socket, sys
folder, request = sys.argv[1:]
descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
control = socket.socket(socket.AF_UNIX)
control.connect(f"/proc/self/fd/{descriptor}/control.sock")
control.sendall(request.encode() + b"\\n")
sys.stdout.write(control.makefile().readline())
sys.stdout.flush()
sys.stdin.read()
"""


class RawControlClient:
    """One connection; sends any bytes."""

    def __init__(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT_SECONDS)
        try:
            self._socket.connect(f"/proc/self/fd/{descriptor}/control.sock")
        finally:
            os.close(descriptor)
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # closed by the venue meanwhile: `answer` shows it
            self._socket.sendall(data)

    def half_close(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def answer(self) -> Any:
        """None when the venue closed the connection instead."""
        try:
            line = self._lines.readline()
        except ConnectionResetError:
            return None
        return json.loads(line) if line else None

    def request(self, do: str = "held", **params: Any) -> Any:
        self.send(json.dumps({"token": TOKEN, "do": do, **params}).encode() + b"\n")
        return self.answer()


class FaultOwnerProcess:
    """A process that started a fault for as long as it is connected. `with` leaves no process running."""

    def __init__(self, folder: Path, fault: str, **terms: Any) -> None:
        request = {"token": TOKEN, "do": "start", "fault": fault, "terms": terms, "while": "connected"}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _CLIENT_PROGRAM, str(folder), json.dumps(request)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout
        self.answer = json.loads(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """kill -9; returns when the process has ended."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()


class EventLog:
    """A venue's event log, read while the venue writes it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / NAME
        self._lines: list[dict[str, Any]] = []
        self._read_bytes = 0

    def lines(self) -> list[dict[str, Any]]:
        """All complete lines."""
        with open(self._file, "rb") as stream:
            stream.seek(self._read_bytes)
            complete, _, _ = stream.read().rpartition(b"\n")
        if complete:
            self._read_bytes += len(complete) + 1
            self._lines += [json.loads(line) for line in complete.split(b"\n")]
        return list(self._lines)

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["event"] == event]

    def fault_end(self, number: int) -> dict[str, Any]:
        """The event that a fault has ended; waits for it."""

        def ends() -> list[dict[str, Any]]:
            return [line for line in self.of("fault_ended") if line["number"] == number]

        wait_until(lambda: bool(ends()), f"the end of fault {number}", TIMEOUT_SECONDS)
        return ends()[-1]


def control_client(folder: Path) -> ControlClient:
    """A connection to the control socket that waits for an answer as long as a loaded machine may take."""
    return ControlClient(folder, TOKEN, timeout_seconds=TIMEOUT_SECONDS)


@contextmanager
def active_fault(venue_control: ControlClient, fault: str, seconds: float = 30.0, **terms: Any) -> Iterator[int]:
    """Keep a fault active while the block lasts; its number."""
    number = venue_control.request("start", fault=fault, terms=terms, seconds=seconds)["number"]
    try:
        yield number
    finally:
        if any(active["number"] == number for active in venue_control.request("held")):
            venue_control.request("stop", number=number)
