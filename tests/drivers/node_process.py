"""The node program as a test drives it: told what to do, waited for, stopped or killed."""

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
WAIT_SECONDS = 20.0
Line = dict[str, Any]
_WARNING = re.compile(r"(?P<time>\S+Z) \[(?P<level>WARN|ERROR)\] (?P<text>.*)")


class NodeProcess:
    """One `tests.drivers.live_node`. `lines` is everything that it told, in order; `with` leaves no process behind."""

    def __init__(self, endpoints: VenueEndpoints, log: Path, **setup: Any) -> None:
        """log: gets what the engine prints; beside it stands what the node tells. setup: for `venue_node.Setup`."""
        self.lines: list[Line] = []
        self._log = log
        self._told = threading.Condition()
        self._over = False
        self._asked = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.drivers.live_node"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            errors="replace",
        )
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read, self._keep_printed)]
        for reader in self._readers:
            reader.start()
        self._say(endpoints.model_dump() | setup)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def printed(self) -> str:
        return self._log.read_text(errors="replace")

    def do(self, do: str, **more: Any) -> None:
        self._say({"do": do, **more})

    def place(self, id: str, side: str, quantity: str, **more: Any) -> None:
        self.do("place", id=id, side=side, quantity=quantity, **more)

    def state(self) -> Line:
        """What the engine's cache has now."""
        return self._ask("state")

    def book(self, depth: int) -> Line:
        """The order book as the engine keeps it."""
        return self._ask("book", depth=depth)

    def _ask(self, what: str, **more: Any) -> Line:
        self._asked += 1
        self.do(what, number=self._asked, **more)
        return self.wait(what, number=self._asked)

    def wait(self, what: str, *, after: int = 0, seconds: float = WAIT_SECONDS, **more: Any) -> Line:
        """The first line behind the first `after` ones that tells this, as soon as it is there."""
        return self.wait_for(lambda line: _tells(line, what, more), f"{what} {more}", after=after, seconds=seconds)

    def wait_for(
        self, fits: Callable[[Line], bool], what: str, *, after: int = 0, seconds: float = WAIT_SECONDS
    ) -> Line:
        deadline = time.monotonic() + seconds
        seen = after
        with self._told:
            while True:
                for line in self.lines[seen:]:
                    if fits(line):
                        return line
                seen = max(seen, len(self.lines))
                left = deadline - time.monotonic()
                if self._over or left <= 0:
                    why = "the node has ended" if self._over else f"waited {seconds} s"
                    raise AssertionError(f"{why}, and it never told {what}\n{self.printed[-2000:]}")
                self._told.wait(left)

    def told(self, what: str, **more: Any) -> Iterator[Line]:
        """Everything so far that fits."""
        return (line for line in list(self.lines) if _tells(line, what, more))

    def orders(self, id: str) -> list[Line]:
        """What happened to an order so far."""
        return list(self.told("order", client_order_id=id))

    def kill(self) -> None:
        """kill -9; comes back when it is gone and all that it told is here."""
        self._process.kill()
        self._end()

    def stop(self, seconds: float = WAIT_SECONDS) -> Line:
        """What it told when it stopped. Fails when it does not end by itself."""
        assert self._process.stdin
        self._process.stdin.close()
        code = self._process.wait(seconds)
        self._end()
        assert code == 0, (code, self.printed[-2000:])
        return self.wait("stopped")

    def death(self, seconds: float = WAIT_SECONDS) -> int:
        """How it ended by itself; negative: the signal that it died of."""
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

    def _say(self, line: Line) -> None:
        assert self._process.stdin
        with suppress(BrokenPipeError):  # it has died; who waits for it will see
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout
        with open(self._log.with_suffix(".jsonl"), "w", encoding="utf-8") as kept:
            for line in self._process.stdout:
                kept.write(line)
                with self._told:
                    if line.endswith("\n"):
                        self.lines.append(json.loads(line))
                    self._told.notify_all()
        with self._told:
            self._over = True
            self._told.notify_all()

    def _keep_printed(self) -> None:
        """What the engine prints; its warnings and errors are told as `log`, too."""
        assert self._process.stderr
        with open(self._log, "w", encoding="utf-8") as kept:
            for line in self._process.stderr:
                kept.write(line)
                kept.flush()
                found = _WARNING.match(line)
                if found:
                    at = datetime.fromisoformat(found["time"]).timestamp()
                    with self._told:
                        self.lines.append({"what": "log", "at": at, "level": found["level"], "text": found["text"]})
                        self._told.notify_all()


def _tells(line: Line, what: str, more: Line) -> bool:
    return line["what"] == what and all(line.get(name) == value for name, value in more.items())
