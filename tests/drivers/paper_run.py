"""`tc run paper` as somebody beside it sees it: its journal, its children, its venue's faults, its end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from opslab.runs.processes.venue_control_client import open_control
from opslab.store.layout import Layout
from tests.drivers.tc import Answer, Tc

Event = dict[str, Any]

WAIT_SECONDS = 300.0
END_SECONDS = 300.0
_POLL_SECONDS = 0.005
_CHILD = "opslab.children."


def paper_spec(tc: Tc, strategy: str = "order_lifecycle_demo", name: str = "spec.yaml", **paper: Any) -> str:
    """Write a spec into the home; its path. paper: its block."""
    return tc.spec(name, strategy=strategy, mode="paper", paper=paper)


def with_fields(**fields: Any) -> Callable[[Event], bool]:
    """A condition for `PaperRun.wait_for`: the payload has these values."""
    return lambda payload: all(payload[name] == value for name, value in fields.items())


def living_in(folder: Path) -> dict[int, str]:
    """Processes that work in a folder, by id, with their command; zombies do not live."""
    found = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with suppress(OSError):
                where = (place / "cwd").readlink()
                if where == folder or folder in where.parents:
                    command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found[int(place.name)] = command.strip()
    return found


class PaperRun:
    """One that goes on while the test does something to it. `with` leaves no process of it behind."""

    def __init__(
        self,
        tc: Tc,
        spec: str,
        run_id: str = "pp",
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
        command: Sequence[str] = (sys.executable, "-m", "opslab"),
    ) -> None:
        """environment: beside the test's own. before: words in front of the command, as of `strace`."""
        self.tc = tc
        self.run_id = run_id
        self.home = tc.home.resolve()
        self._out, self._err = tc.home / f"{run_id}.out", tc.home / f"{run_id}.err"
        self._events: list[Event] = []
        self._read_bytes = 0
        self.began_s = time.monotonic()
        with open(self._out, "wb") as out, open(self._err, "wb") as err:
            self.process = subprocess.Popen(
                [*before, *command, "run", "paper", "--spec", spec, "--run-id", run_id, "--json"],
                pass_fds=pass_fds,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=tc.home,
                env=tc.environment(environment),
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        while left := [pid for pid in living_in(self.home) if pid != os.getpid()]:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.1)
        self.process.wait()

    @property
    def folder(self) -> Path:
        return self.tc.run_folder(self.run_id)

    # What it tells.

    @property
    def events(self) -> list[Event]:
        """Of its journal, so far."""
        with suppress(FileNotFoundError), open(self.folder / "journal.jsonl", "rb") as stream:
            stream.seek(self._read_bytes)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self._read_bytes += len(line)
                self._events.append(json.loads(line))
        return self._events

    def wait_for(
        self,
        name: str,
        holds: Callable[[dict[str, Any]], bool] = lambda _payload: True,
        *,
        after: int = 0,
        seconds: float = WAIT_SECONDS,
    ) -> Event:
        """The first event of that name behind number `after` whose payload is so. Fails when the run ends without."""
        deadline = time.monotonic() + seconds
        seen = 0
        while True:
            over = self.process.poll() is not None
            events = self.events
            for event in events[seen:]:
                if event["event"] == name and event["seq"] > after and holds(event["payload"]):
                    return event
            seen = len(events)
            assert not over, f"the run ended without {name}: {self._said()}"
            assert time.monotonic() < deadline, f"waited {seconds} s in vain for {name}: {self.names[-8:]}"
            time.sleep(_POLL_SECONDS)

    def wait_for_bars(self, bars: int) -> Event:
        """The first heartbeat of so many."""
        return self.wait_for("paper_heartbeat", lambda payload: payload["heartbeat"]["bars"] >= bars)

    @property
    def names(self) -> list[str]:
        """Names of the events of its life: no heartbeats and no orders."""
        return [one["event"] for one in self.events if one["event"] not in ("paper_heartbeat", "order_event")]

    def told(self, name: str) -> list[dict[str, Any]]:
        """Payloads of the events of that name, so far."""
        return [event["payload"] for event in self.events if event["event"] == name]

    # What is done to it.

    def child(self, name: str) -> int | None:
        """Pid of its newest living child of that name, `engine` or `venue`."""
        found = []
        for place in Path("/proc").iterdir():
            if place.name.isdigit():
                with suppress(OSError, ValueError, IndexError):
                    fields = (place / "stat").read_text(errors="replace").rpartition(")")[2].split()
                    command = (place / "cmdline").read_bytes()
                    ours = int(fields[1]) == self.process.pid and fields[0] not in "ZX"
                    if ours and f"{_CHILD}{name}".encode() in command:
                        found.append((int(fields[19]), int(place.name)))
        return max(found)[1] if found else None

    def wait_for_child(self, name: str) -> int:
        deadline = time.monotonic() + WAIT_SECONDS
        while (pid := self.child(name)) is None:
            assert self.process.poll() is None, self._said()
            assert time.monotonic() < deadline, f"waited {WAIT_SECONDS} s in vain for the {name} child"
            time.sleep(0.001)
        return pid

    def kill_child(self, name: str) -> int:
        """With kill -9; its pid."""
        pid = self.wait_for_child(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def fault(self, name: str, *, seconds: float = 600, **terms: object) -> None:
        """Begin a fault of its venue, by the door that `tc venue fault` goes through."""
        with open_control(Layout(self.tc.home), self.run_id) as venue_control:
            venue_control.request("start", fault=name, terms=terms, seconds=seconds)

    def end_faults(self) -> None:
        with open_control(Layout(self.tc.home), self.run_id) as venue_control:
            venue_control.request("stop_all")

    def cut(self, which: str, seconds: float) -> None:
        """Its connections, and keep new ones away for so long."""
        with open_control(Layout(self.tc.home), self.run_id) as venue_control:
            venue_control.request("start", fault="refuse", terms={"which": which}, seconds=seconds)
            venue_control.request("start", fault="reset", terms={"which": which})

    def signal(self, number: signal.Signals) -> float:
        """To control; when."""
        self.process.send_signal(number)
        return time.monotonic()

    def end(self, seconds: float = END_SECONDS) -> Answer:
        """Wait for it."""
        self.process.wait(seconds)
        self.ended_s = time.monotonic()
        self.events  # noqa: B018  (all that there is)
        return Answer(self.process.returncode, self._out.read_text(), self._err.read_text())

    def _said(self) -> str:
        return f"exit {self.process.poll()}: {self._err.read_text(errors='replace')[-2000:]}"
