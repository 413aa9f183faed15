"""The `live_node` program as a test controls it: commands, waits, stop and kill."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from opslab.model.messages.venue_messages import VenueEndpoints

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 200.0
Line = dict[str, Any]
_WARNING = re.compile(r"(?P<time>\S+Z) \[(?P<level>WARN|ERROR)\] (?P<text>.*)")


class NodeProcess:
    """One `tests.drivers.live_node`. `lines` has all its events, in order; `with` leaves no process running."""

    def __init__(self, endpoints: VenueEndpoints, log: Path, **setup: Any) -> None:
        """log: of the engine's output; the node's events are written beside it. setup: for `live_node.Setup`."""
        self.lines: list[Line] = []
        self._log = log
        self._changed = threading.Condition()
        self._has_ended = False
        self._last_number = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.drivers.live_node"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            errors="replace",
        )
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read, self._store_output)]
        for reader in self._readers:
            reader.start()
        self._send(endpoints.model_dump() | setup)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def printed(self) -> str:
        return self._log.read_text(errors="replace")

    def do(self, command: str, **params: Any) -> None:
        self._send({"do": command, **params})

    def place(self, id: str, side: str, quantity: str, **params: Any) -> None:
        self.do("place", id=id, side=side, quantity=quantity, **params)

    def state(self) -> Line:
        """The current state in the engine's cache."""
        return self._query("state")

    def book(self, depth: int) -> Line:
        """The engine's order book."""
        return self._query("book", depth=depth)

    def _query(self, kind: str, **params: Any) -> Line:
        self._last_number += 1
        self.do(kind, number=self._last_number, **params)
        return self.wait(kind, number=self._last_number)

    def wait(self, kind: str, *, after: int = 0, seconds: float = WAIT_SECONDS, **fields: Any) -> Line:
        """The first line of this kind with these fields, after the first `after` lines; waits for it."""
        return self.wait_for(
            lambda line: _matches(line, kind, fields), f"{kind} {fields}", after=after, seconds=seconds
        )

    def wait_for(
        self, is_wanted: Callable[[Line], bool], description: str, *, after: int = 0, seconds: float = WAIT_SECONDS
    ) -> Line:
        deadline = time.monotonic() + seconds
        checked = after
        with self._changed:
            while True:
                for line in self.lines[checked:]:
                    if is_wanted(line):
                        return line
                checked = max(checked, len(self.lines))
                remaining_seconds = deadline - time.monotonic()
                if self._has_ended or remaining_seconds <= 0:
                    reason = "the node has ended" if self._has_ended else f"waited {seconds} s"
                    raise AssertionError(f"{reason} without {description}\n{self.printed[-2000:]}")
                self._changed.wait(remaining_seconds)

    def lines_of(self, kind: str, **fields: Any) -> Iterator[Line]:
        """The lines of this kind with these fields so far."""
        return (line for line in list(self.lines) if _matches(line, kind, fields))

    def order_events(self, id: str) -> list[Line]:
        """The events of an order so far."""
        return list(self.lines_of("order", client_order_id=id))

    def kill(self) -> None:
        """kill -9; returns when the process has ended and all its lines are read."""
        self._process.kill()
        self._end()

    def stop(self, seconds: float = WAIT_SECONDS) -> Line:
        """Its `stopped` line. Fails when it does not end by itself."""
        assert self._process.stdin
        self._process.stdin.close()
        code = self._process.wait(seconds)
        self._end()
        assert code == 0, (code, self.printed[-2000:])
        return self.wait("stopped")

    def exit_code(self, seconds: float = WAIT_SECONDS) -> int:
        """The exit code after it has ended by itself; negative: the signal that ended it."""
        code = self._process.wait(seconds)
        self._end()
        return code

    def _end(self) -> None:
        self._process.wait()
        for reader in self._readers:
            reader.join()
        assert self._process.stdin
        assert self._process.stdout
        assert self._process.stderr
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.stderr.close()

    def _send(self, line: Line) -> None:
        assert self._process.stdin
        with suppress(BrokenPipeError):  # it has died; a later wait shows it
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout
        with open(self._log.with_suffix(".jsonl"), "w", encoding="utf-8") as copy:
            for line in self._process.stdout:
                copy.write(line)
                with self._changed:
                    if line.endswith("\n"):
                        self.lines.append(json.loads(line))
                    self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def _store_output(self) -> None:
        """Store the engine's output; its warnings and errors also become lines of kind `log`."""
        assert self._process.stderr
        with open(self._log, "w", encoding="utf-8") as copy:
            for line in self._process.stderr:
                copy.write(line)
                copy.flush()
                match = _WARNING.match(line)
                if match:
                    at = datetime.fromisoformat(match["time"]).timestamp()
                    with self._changed:
                        self.lines.append({"kind": "log", "at": at, "level": match["level"], "text": match["text"]})
                        self._changed.notify_all()


def _matches(line: Line, kind: str, fields: Line) -> bool:
    return line["kind"] == kind and all(line.get(name) == value for name, value in fields.items())
