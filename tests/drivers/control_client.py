"""The control door of a venue process: asked as it should be, asked wrongly, and asked by a process that is killed."""

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
SECONDS = 10.0
_ASKER = """
import json, os, socket, sys
folder, request = sys.argv[1:]
place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
door = socket.socket(socket.AF_UNIX)
door.connect(f"/proc/self/fd/{place}/control.sock")
door.sendall(request.encode() + b"\\n")
sys.stdout.write(door.makefile().readline())
sys.stdout.flush()
sys.stdin.read()
"""


class RawDoor:
    """One connection; says what it is told to, whatever that is."""

    def __init__(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(SECONDS)
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

    def put(self, data: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # it was closed in the middle, which the answer will tell
            self._socket.sendall(data)

    def half_close(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def answer(self) -> Any:
        """None when the connection was closed instead."""
        try:
            line = self._lines.readline()
        except ConnectionResetError:
            return None
        return json.loads(line) if line else None

    def ask(self, do: str = "held", **more: Any) -> Any:
        self.put(json.dumps({"token": TOKEN, "do": do, **more}).encode() + b"\n")
        return self.answer()


class AccountPoller:
    """A process that began a fault for as long as it is connected. `with` leaves no process behind."""

    def __init__(self, folder: Path, fault: str, **terms: Any) -> None:
        request = {"token": TOKEN, "do": "start", "fault": fault, "terms": terms, "while": "connected"}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _ASKER, str(folder), json.dumps(request)],
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
        """kill -9; comes back when it is gone."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()


class EventLog:
    """What the venue has noted."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / NAME
        self._lines: list[dict[str, Any]] = []
        self._read_bytes = 0

    def lines(self) -> list[dict[str, Any]]:
        """All whole ones."""
        with open(self._file, "rb") as stream:
            stream.seek(self._read_bytes)
            whole, _, _ = stream.read().rpartition(b"\n")
        if whole:
            self._read_bytes += len(whole) + 1
            self._lines += [json.loads(line) for line in whole.split(b"\n")]
        return list(self._lines)

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["event"] == event]

    def ended(self, number: int) -> dict[str, Any]:
        """The end of a fault, once it is there."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.of("fault ended") if line["number"] == number]

        wait_until(lambda: bool(found()), f"the end of fault {number}", SECONDS)
        return found()[-1]


@contextmanager
def holding(door: ControlClient, fault: str, seconds: float = 30.0, **terms: Any) -> Iterator[int]:
    """A fault while the block lasts; its number."""
    number = door.ask("start", fault=fault, terms=terms, seconds=seconds)["number"]
    try:
        yield number
    finally:
        if any(held["number"] == number for held in door.ask("held")):
            door.ask("stop", number=number)
