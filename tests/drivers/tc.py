"""`tc` as a user calls it: a process, its exit code, what it printed.

In the tests that process is a fork of one that has the imports behind it, `fork_server.py`, where the start of a
process is not what a test is about. `Tc.process` and `Tc.start` make one from nothing.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from tests.drivers.fork_server import ForkServer

LIMIT_SECONDS = 300.0
"""For what takes seconds; a loaded machine is ten times slower."""
WAIT_SECONDS = 120.0
"""For what takes a second or a few."""

FIRST_DAY = {"dataset": "btcusdt-sample", "end": "2024-01-02T00:00:00Z"}
"""`data` of a spec: 1,440 of the sample's 10,080 candles, with which `order_lifecycle_demo` places 2,160 orders."""

_servers: list[ForkServer] = []


@contextmanager
def forks_of_tc(*, at_once: bool = False) -> Iterator[None]:
    """Meanwhile `run_tc` forks, in this process and in its forks.

    at_once: start the server now, not when it is first needed; its forks then have the same one.
    """
    global _forks
    _forks = True
    try:
        if at_once:
            _server_like(os.environ)
        yield
    finally:
        _forks = False
        while _servers:
            _servers.pop().close()


_forks = False


def fork_server_pids() -> list[int]:
    return [server.pid for server in _servers]


def _server_like(environment: Mapping[str, str]) -> ForkServer | None:
    """The server, started when it is first needed; none for another environment."""
    if _forks and not _servers:
        _servers.append(ForkServer())
    return next((server for server in _servers if server.can_run(environment)), None)


def run_tc(
    words: Sequence[str], environment: Mapping[str, str], folder: Path, *, forks: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. forks: it may come from the fork server, when there is one that is like it."""
    server = _server_like(environment) if forks else None
    if server:
        return server.run(words, environment, folder, LIMIT_SECONDS)
    return subprocess.run(
        [sys.executable, "-m", "opslab", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=LIMIT_SECONDS,
        check=False,
    )


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Tc:
    home: Path

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TC_")}
        return {**kept, "TC_HOME": str(self.home), **(extra or {})}

    def __call__(self, *words: str, cwd: Path | None = None, **extra: str) -> Answer:
        return self._answer(words, cwd, extra, forks=True)

    def process(self, *words: str, cwd: Path | None = None, **extra: str) -> Answer:
        """As a call, and surely from a new interpreter."""
        return self._answer(words, cwd, extra, forks=False)

    def _answer(self, words: Sequence[str], cwd: Path | None, extra: Mapping[str, str], *, forks: bool) -> Answer:
        done = run_tc(words, self.environment(extra), cwd or self.home, forks=forks)
        assert "Traceback" not in done.stderr, done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str) -> Answer:
        answer = self(*words)
        assert answer.code == 0, (words, answer.code, answer.err)
        return answer

    def json(self, *words: str) -> Any:
        return self.ok(*words, "--json").document

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command and leave it running. Its own session, so that a test's Ctrl-C is not ours."""
        return subprocess.Popen(
            [sys.executable, "-m", "opslab", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
            env=self.environment(),
            start_new_session=True,
        )

    def run_folder(self, run_id: str) -> Path:
        return self.home / "artifacts" / "runs" / run_id

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """The whole lines of a run's journal."""
        path = self.run_folder(run_id) / "journal.jsonl"
        if not path.exists():
            return []
        lines = path.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines]

    def spec(self, name: str = "spec.yaml", **changes: Any) -> str:
        """Write a spec into the home; its path. `strategy` and `dataset` are names, the rest top-level fields."""
        strategy = changes.pop("strategy", "ops_smoke_demo")
        dataset = changes.pop("dataset", "btcusdt-sample")
        fingerprint = changes.pop("fingerprint", None)
        document = {
            "spec_version": "v1",
            "mode": "backtest",
            "engine": "nautilus",
            "venue": "binance",
            "instrument": "BTCUSDT",
            "strategy": {"name": strategy, "version": "v1"},
            "data": {"dataset": dataset, **({"fingerprint": fingerprint} if fingerprint else {})},
            **changes,
        }
        path = self.home / name
        path.write_text(json.dumps(document, indent=1))  # JSON is YAML
        return str(path)

    def own_spec(self, folder: Path, strategy: Mapping[str, Any] | str, **changes: Any) -> str:
        """Write a spec for a strategy in `folder`; its path. `strategy` is the block, as values or as YAML."""
        document = json.loads(Path(self.spec(**changes)).read_text())
        block = strategy if isinstance(strategy, str) else json.dumps(strategy)
        lines = [f"{name}: {json.dumps(value)}" for name, value in document.items() if name != "strategy"]
        path = folder / "spec.yaml"
        path.write_text("\n".join([*lines, "strategy:", *(f"  {line}" for line in block.splitlines()), ""]))
        return str(path)


def wait_until(holds: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Wait for an event of another process; fails loudly when it does not come."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.005)


def long_candles(path: Path, rows: int, price: str = "42000.1") -> Path:
    """A CSV of equal, valid one-minute candles, written column-wise."""
    times = pa.array(
        range(1_500_000_000_000 // 60_000 * 60_000, 1_500_000_000_000 // 60_000 * 60_000 + rows * 60_000, 60_000)
    )
    flat = pa.array([price] * rows)
    table = pa.table(
        {"open_time": times, "open": flat, "high": flat, "low": flat, "close": flat, "volume": pa.array(["1.5"] * rows)}
    )
    pacsv.write_csv(table, path, pacsv.WriteOptions(quoting_style="none"))
    return path


def candle_lines(
    rows: int = 10, *, first_ms: int = 1_704_067_200_000, price: str = "42000.1", header: bool = True
) -> list[str]:
    """Lines of a small valid candle file; candle n opens n minutes after `first_ms`."""
    lines = ["open_time,open,high,low,close,volume"] if header else []
    return lines + [f"{first_ms + n * 60_000},{price},{price},{price},{price},1.5" for n in range(rows)]
